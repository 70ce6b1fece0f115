// Words that are pieces: most words of a text in a language that the vocabulary was made for.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace phial {

inline uint64_t hash_of_word(std::string_view word) {
  // The constants are those of the splitmix64 generator in base/rng.h.
  uint64_t hash = word.size() * 0x9E3779B97F4A7C15ull;
  const auto mix = [&hash](uint64_t bytes) {
    hash = (hash ^ bytes) * 0xBF58476D1CE4E5B9ull;
    hash ^= hash >> 31;
  };
  const char* at = word.data();
  size_t left = word.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, at, 8);
    mix(bytes);
  }
  uint64_t bytes = 0;
  std::memcpy(&bytes, at, left);
  mix(bytes);
  return hash * 0x94D049BB133111EBull;
}

// A table of pieces by their text, and for each whether a model makes the piece of its own text,
// which shows when it first meets it: an answer that any thread may note, as it is always the same.
class WholeWords {
 public:
  struct Entry {
    std::string text;
    int32_t id;
  };

  WholeWords() = default;
  // damaged: texts made to collide. With `always` every word that is a piece becomes it.
  static Result<WholeWords> create(const std::vector<Entry>& entries, bool always);

  // Where the piece `word` is kept; nowhere when none is.
  static constexpr size_t kNowhere = SIZE_MAX;
  size_t find(std::string_view word, uint64_t hash) const {
    for (size_t at = hash >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.id < 0) return kNowhere;
      if (slot.tag == static_cast<uint32_t>(hash) && slot.size == word.size() &&
          std::memcmp(texts_.data() + slot.begin, word.data(), word.size()) == 0) {
        return at;
      }
    }
  }

  int32_t id(size_t at) const { return slots_[at].id; }
  enum class State : uint8_t { unknown, whole, parts };
  State state(size_t at) const {
    return static_cast<State>(states_[at].load(std::memory_order_relaxed));
  }
  void note(size_t at, State state) const {
    states_[at].store(static_cast<uint8_t>(state), std::memory_order_relaxed);
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;               // -1: free
    uint32_t begin = 0, size = 0;  // in texts_
  };

  std::vector<Slot> slots_ = std::vector<Slot>(2);  // a power of two, at most half full
  int shift_ = 63;
  std::string texts_;
  std::unique_ptr<std::atomic<uint8_t>[]> states_;
};

}  // namespace phial
