#include "kernels/search_unit.h"

#if defined(__x86_64__)
namespace phial {
namespace {
namespace avx512 {
constexpr int kWidth = 16;
// clang-format off
#include "kernels/search_body.inl"
// clang-format on
}  // namespace avx512
}  // namespace

constexpr SearchTable kAvx512Search = avx512::make_search_table("avx512");

}  // namespace phial
#endif
