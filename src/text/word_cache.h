// The words of one text that have their ids already.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace phial {

// A word has one place in a table, by its hash, and a later word of that place takes it: no text
// makes this slow. Words point into texts that must outlive the cache; their ids are copied from
// where they were put first.
class WordCache {
 public:
  explicit WordCache(size_t text_bytes) {
    const size_t words = text_bytes / kBytesPerWord;
    places_.resize(std::bit_ceil(std::clamp(words, kMinPlaces, kMaxPlaces)));
  }

  // Appends the ids of `word` if it is known. `ids` is what earlier words left, others may have
  // been appended.
  bool copy(std::string_view word, uint64_t hash, std::vector<int32_t>& ids) const {
    const Place& place = places_[hash & (places_.size() - 1)];
    if (place.hash != hash || place.word != word) return false;
    for (size_t i = 0; i < place.count; ++i) ids.push_back(ids[place.begin + i]);
    return true;
  }

  // `word`, which is not empty, gave the ids from `begin` to `end`.
  void note(std::string_view word, uint64_t hash, size_t begin, size_t end) {
    if (word.size() > kMaxWordBytes) return;
    places_[hash & (places_.size() - 1)] = {hash, word, begin, end - begin};
  }

 private:
  static constexpr size_t kBytesPerWord = 8;
  static constexpr size_t kMinPlaces = 16;
  static constexpr size_t kMaxPlaces = size_t{1} << 15;
  static constexpr size_t kMaxWordBytes = 128;  // longer ones rarely come twice

  struct Place {
    uint64_t hash = 0;
    std::string_view word;
    size_t begin = 0, count = 0;
  };
  std::vector<Place> places_;
};

}  // namespace phial
