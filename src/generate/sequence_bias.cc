#include "generate/sequence_bias.h"

#include <algorithm>
#include <limits>
#include <map>

namespace phial {

void apply_sequence_bias(std::span<const SequenceBias> biases, std::span<const int32_t> tokens,
                         std::span<float> scores) {
  // Summed before they are added: the order of the additions is transformers'.
  std::map<int32_t, float> sums;
  for (const SequenceBias& bias : biases) {
    const std::span<const int32_t> prefix(bias.ids.data(), bias.ids.size() - 1);
    if (prefix.size() > tokens.size()) continue;
    if (!std::ranges::equal(tokens.last(prefix.size()), prefix)) continue;
    sums[bias.ids.back()] += bias.bias;
  }
  for (const auto& [id, sum] : sums) scores[static_cast<size_t>(id)] += sum;
}

std::vector<SequenceBias> bad_word_biases(const std::vector<std::vector<int32_t>>& bad_words,
                                          std::span<const int32_t> end_ids) {
  std::vector<SequenceBias> biases;
  for (const std::vector<int32_t>& word : bad_words) {
    const bool is_end = word.size() == 1 && std::ranges::find(end_ids, word[0]) != end_ids.end();
    if (!is_end) biases.push_back({word, -std::numeric_limits<float>::infinity()});
  }
  return biases;
}

}  // namespace phial
