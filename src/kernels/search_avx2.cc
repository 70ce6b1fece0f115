#include "kernels/search_unit.h"

#if defined(__x86_64__)
namespace phial {
namespace {
namespace avx2 {
constexpr int kWidth = 8;
// clang-format off
#include "kernels/search_body.inl"
// clang-format on
}  // namespace avx2
}  // namespace

constexpr SearchTable kAvx2Search = avx2::make_search_table("avx2");

}  // namespace phial
#endif
