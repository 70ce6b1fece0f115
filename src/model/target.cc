#include "model/target.h"

namespace phial {

int64_t TargetRows::source_row(int64_t r) const {
  if (view.row_order == order) return r;
  const int64_t head = r / head_rows * head_rows;
  const int64_t within = r % head_rows;
  // A target row of the natural order looks up where an interleaved file holds it; and the reverse.
  if (order == RowOrder::natural) return head + interleaved_row(within, head_rows);
  return head + (within % 2 == 0 ? within / 2 : head_rows / 2 + within / 2);
}

}  // namespace phial
