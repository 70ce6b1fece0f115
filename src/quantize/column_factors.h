// Columns that matter much, made larger before they are quantized: what a norm's outputs are
// multiplied with gets factors in its columns, and the norm's weights are divided by the same. The
// model computes what it computed; but in a group of 32 weights with one scale a column that is
// twice as large is met twice as well, at the cost of its neighbours. Known as activation-aware
// scaling (AWQ), here with the squares of an importance matrix.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "kernels/search.h"
#include "model/target.h"
#include "quantize/convert.h"
#include "sys/thread_pool.h"

namespace phial {

class ColumnFactors {
 public:
  // For each norm inside the layers of which all readers are searched for with measured importance:
  // the factors that make their weighted error least, on rows spread evenly over them. Powers of
  // importance are tried; where none gains, there are none. Depends on the plan alone, not on
  // threads or instruction sets. Only GGUF files, whose norms are float32: elsewhere the quotients
  // would be rounded. Errors: cancelled.
  static Result<ColumnFactors> choose(const ConvertPlan& plan, const SearchTable& search,
                                      ThreadPool& threads, const CancelFlag* cancel);

  // What the columns of a matrix are multiplied with and the numbers of a norm divided by, all > 0.
  // Null: nothing.
  const std::vector<float>* find(const TargetTensor& tensor) const;

 private:
  // By the layer, and whether it is the norm before its mlp.
  std::map<std::pair<int64_t, bool>, std::vector<float>> factors_;
};

}  // namespace phial
