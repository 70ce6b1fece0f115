// Columns that matter much, made larger before they are quantized. What a norm's outputs are
// multiplied with gets factors in its columns, and the norm's numbers are divided by the same; so
// do the columns of down and the rows of up, which is linear between them. The model computes what
// it computed; but in a group of 32 weights with one scale a column that is twice as large is met
// twice as well, at the cost of its neighbours. Known as activation-aware scaling (AWQ), here with
// the squares of an importance matrix.
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

// What a matrix is multiplied with before it is encoded, and its readers see in it. Null: nothing.
struct Scaling {
  const float* columns = nullptr;  // factors
  const float* rows = nullptr;     // divisors, of rows from first_row on
  int64_t first_row = 0;

  bool is_any() const { return columns != nullptr || rows != nullptr; }
  void apply(int64_t first, int64_t count, int64_t row_values, float* values) const;
  void undo(int64_t first, int64_t count, int64_t row_values, float* values) const;
};

class ColumnFactors {
 public:
  // For each norm inside the layers, and for each up matrix, of which all readers are searched for
  // with measured importance: a power of the importance of their columns, or none where that does
  // not make their weighted error less, on rows spread evenly over them. Depends on the plan alone,
  // not on threads or instruction sets. Only GGUF files, whose norms are float32:
  // elsewhere the quotients would be rounded. Errors: cancelled.
  static Result<ColumnFactors> choose(const ConvertPlan& plan, const SearchTable& search,
                                      ThreadPool& threads, const CancelFlag* cancel);

  Scaling of_matrix(const TargetTensor& matrix) const;
  // What the numbers of a norm are divided by, all > 0; null: nothing.
  const std::vector<float>* of_norm(const TargetTensor& norm) const;

  // Between what and its readers factors may be.
  enum class Place : uint8_t { attention_norm, mlp_norm, up };

 private:
  const std::vector<float>* find(int64_t layer, Place place) const;
  std::map<std::pair<int64_t, Place>, std::vector<float>> factors_;
};

}  // namespace phial
