// Cosines and sines of the positions of a pass, kept for the passes after it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace phial {

// Positions whose angles are kept; those beyond are computed for each pass again.
inline constexpr int64_t kKeptRopePositions = 4096;

// Angles are float32 products, as in Hugging Face; so are mscale's.
class RopeTable {
 public:
  explicit RopeTable(const RopeSpec& spec);  // which must live as long

  // Forgets the rows of the last pass; room for `rows`.
  void clear(int64_t rows);
  // Rows behind those there are: positions [first, first + rows). `inv_freq` null: the spec's.
  void add(int64_t first, int64_t rows, const float* inv_freq);

  // [rotary / 2] of a row of the pass.
  const float* cos(int64_t row) const { return floats(row); }
  const float* sin(int64_t row) const { return floats(row) + half_; }

 private:
  // Positions [0, n), each [cos: half][sin: half].
  struct Kept {
    const float* inv_freq;
    std::vector<float> floats;
  };
  struct Row {
    const std::vector<float>* table;
    size_t at;
  };
  const float* floats(int64_t row) const {
    const Row& r = rows_[static_cast<size_t>(row)];
    return r.table->data() + r.at;
  }
  void append(const float* inv_freq, int64_t position, std::vector<float>& table) const;

  const int64_t half_;
  const float mscale_;
  Kept kept_[2];  // inv_freq and long_inv_freq
  std::vector<float> passing_;
  std::vector<Row> rows_;
};

}  // namespace phial
