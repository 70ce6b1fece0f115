#include "kernels/search_unit.h"

namespace phial {
namespace {
namespace plain {
constexpr int kWidth = 4;
// clang-format off
#include "kernels/search_body.inl"
// clang-format on
}  // namespace plain
}  // namespace

constexpr SearchTable kPlainSearch = plain::make_search_table("reference");

}  // namespace phial
