#include "engine/cpu/rope_table.h"

#include <cmath>

namespace phial {

RopeTable::RopeTable(const RopeSpec& spec)
    : half_(spec.rotary / 2),
      mscale_(spec.mscale),
      kept_{{spec.inv_freq.data(), {}}, {spec.long_inv_freq.data(), {}}} {}

void RopeTable::clear(int64_t rows) {
  rows_.clear();
  rows_.reserve(static_cast<size_t>(rows));
  passing_.clear();
}

void RopeTable::append(const float* inv_freq, int64_t position, std::vector<float>& table) const {
  const auto p = static_cast<float>(position);
  for (int64_t i = 0; i < half_; ++i) table.push_back(std::cos(p * inv_freq[i]) * mscale_);
  for (int64_t i = 0; i < half_; ++i) table.push_back(std::sin(p * inv_freq[i]) * mscale_);
}

void RopeTable::add(int64_t first, int64_t rows, const float* inv_freq) {
  const size_t width = static_cast<size_t>(2 * half_);
  if (inv_freq == nullptr) inv_freq = kept_[0].inv_freq;
  const bool keeps =
      first + rows <= kKeptRopePositions &&
      (inv_freq == kept_[0].inv_freq || (inv_freq == kept_[1].inv_freq && inv_freq != nullptr));
  if (!keeps) {
    for (int64_t r = 0; r < rows; ++r) {
      rows_.push_back({&passing_, passing_.size()});
      append(inv_freq, first + r, passing_);
    }
    return;
  }
  std::vector<float>& table = kept_[inv_freq == kept_[0].inv_freq ? 0 : 1].floats;
  const size_t needed = static_cast<size_t>(first + rows) * width;
  while (table.size() < needed) {
    append(inv_freq, static_cast<int64_t>(table.size() / width), table);
  }
  for (int64_t r = first; r < first + rows; ++r) {
    rows_.push_back({&table, static_cast<size_t>(r) * width});
  }
}

}  // namespace phial
