#include "model/target.h"

#include <gtest/gtest.h>

namespace phial {
namespace {

TEST(TargetRows, TurnsTheOrderOfHeadsBothWays) {
  constexpr int64_t kHead = 6;
  TargetRows to_gguf;
  to_gguf.view.rows = 12;
  to_gguf.order = RowOrder::interleaved_heads;
  to_gguf.head_rows = kHead;
  TargetRows from_gguf = to_gguf;
  from_gguf.view.row_order = RowOrder::interleaved_heads;
  from_gguf.order = RowOrder::natural;
  const int64_t expected[] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
  for (int64_t r = 0; r < 12; ++r) {
    EXPECT_EQ(to_gguf.source_row(r), expected[r]);
    EXPECT_EQ(from_gguf.source_row(to_gguf.source_row(r)), r);
  }
}

TEST(TargetRows, LeavesRowsOfTheSameOrder) {
  TargetRows rows;
  rows.view.rows = 3;
  EXPECT_EQ(rows.source_row(2), 2);
}

}  // namespace
}  // namespace phial
