// The words of one text that have their ids already.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace phial {

// Words point into texts that must outlive the cache; their ids are copied from where they were
// put first.
class WordCache {
 public:
  // Appends the ids of `word` if it is known. `ids` is what earlier words left, others may have
  // been appended.
  bool copy(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > kMaxWordBytes) return false;
    const auto known = known_.find(word);
    if (known == known_.end()) return false;
    const auto [begin, size] = known->second;
    for (size_t i = 0; i < size; ++i) ids.push_back(ids[begin + i]);
    return true;
  }

  // `word` gave the ids from `begin` to `end`.
  void note(std::string_view word, size_t begin, size_t end) {
    if (word.size() > kMaxWordBytes || known_.size() >= kMaxWords) return;
    known_.emplace(word, Range{begin, end - begin});
  }

 private:
  // Longer words rarely come twice; the numbers bound the memory.
  static constexpr size_t kMaxWordBytes = 64;
  static constexpr size_t kMaxWords = size_t{1} << 16;

  struct Range {
    size_t begin, size;
  };
  std::unordered_map<std::string_view, Range> known_;
};

}  // namespace phial
