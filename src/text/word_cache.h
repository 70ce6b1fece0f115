// The words of one text that have their ids already.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace phial {

// Words point into texts that must outlive the cache; their ids are copied from where they were
// put first. A cache, so it may forget: lookups stay short whatever the words are.
//
// Open addressing over slots of 24 bytes. A word of up to 16 bytes is in its slot itself, as two
// loads that cover it (and overlap); of a longer one the slot has a hash and where it stands. A
// word of one id, as most are, has that in its slot too.
class WordCache {
 public:
  // For texts of about so many bytes: a short one is read before a large table is cleared.
  explicit WordCache(size_t text_bytes)
      : slots_(std::clamp(std::bit_ceil(text_bytes / 4), kFewSlots, kManySlots) + kMaxProbes) {}

  // Appends the ids of `word` if it is known. `ids` is what earlier words left, others may have
  // been appended. REQUIRES: word is not empty
  bool copy(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > kMaxWordBytes) return false;
    const Key key = key_of(word);
    for (size_t probe = 0, at = key.home >> shift_; probe < kMaxProbes; ++probe, ++at) {
      const Slot& slot = slots_[at];
      if (slot.bytes == 0) return false;
      if (!holds(slot, word, key)) continue;
      if (slot.count == 1) {
        ids.push_back(static_cast<int32_t>(slot.value));
      } else {
        for (size_t i = 0; i < slot.count; ++i) ids.push_back(ids[slot.value + i]);
      }
      return true;
    }
    return false;
  }

  // `word`, which copy() did not know, gave the ids from `begin` to `end`.
  void note(std::string_view word, const std::vector<int32_t>& ids, size_t begin) {
    const size_t count = ids.size() - begin;
    if (word.size() > kMaxWordBytes || count > kMaxWordBytes || begin > UINT32_MAX) return;
    if (used_ >= kMaxWords) return;
    if (2 * used_ >= slots_.size()) grow();
    const auto value =
        count == 1 ? static_cast<uint32_t>(ids[begin]) : static_cast<uint32_t>(begin);
    const Key key = key_of(word);
    if (put({key.first, word.size() > kShortBytes ? address(word) : key.second, value,
             static_cast<uint8_t>(word.size()), static_cast<uint8_t>(count)},
            key.home)) {
      ++used_;
    }
  }

 private:
  // Longer words rarely come twice; the numbers bound the memory.
  static constexpr size_t kMaxWordBytes = 64;
  static constexpr size_t kMaxWords = size_t{1} << 16;
  static constexpr size_t kShortBytes = 16;
  static constexpr size_t kMaxProbes = 16;
  static constexpr size_t kFewSlots = size_t{1} << 5;
  static constexpr size_t kManySlots = size_t{1} << 10;

  struct Slot {
    uint64_t first = 0;   // the word's first bytes; of a longer word its hash
    uint64_t second = 0;  // its last bytes; of a longer word its address
    uint32_t value = 0;   // the id, or where the ids begin
    uint8_t bytes = 0;    // 0: free
    uint8_t count = 0;    // of ids
  };
  struct Key {
    uint64_t first, second;
    uint64_t home;  // hash
  };

  template <class T>
  static uint64_t load(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
  }
  static uint64_t address(std::string_view word) { return std::bit_cast<uint64_t>(word.data()); }
  static uint64_t mix(uint64_t a, uint64_t b) {
    // The last steps of the splitmix64 generator over a product, as in base/rng.h.
    uint64_t x = (a ^ std::rotl(b, 32)) * 0xBF58476D1CE4E5B9ull + b;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
  }

  static Key key_of(std::string_view word) {
    const char* begin = word.data();
    const char* end = begin + word.size();
    uint64_t first = 0;
    uint64_t second = 0;
    if (word.size() >= 8) {
      first = load<uint64_t>(begin);
      second = load<uint64_t>(end - 8);
    } else if (word.size() >= 4) {
      first = load<uint32_t>(begin);
      second = load<uint32_t>(end - 4);
    } else {
      first = load<uint8_t>(begin) | load<uint8_t>(begin + word.size() / 2) << 8;
      second = load<uint8_t>(end - 1);
    }
    uint64_t hash = mix(first, second + word.size());
    if (word.size() > kShortBytes) {
      for (const char* at = begin + 8; at < end - 8; at += 8) hash = mix(hash, load<uint64_t>(at));
      first = hash;
    }
    return {first, second, hash};
  }

  static bool holds(const Slot& slot, std::string_view word, const Key& key) {
    if (slot.first != key.first || slot.bytes != word.size()) return false;
    if (word.size() <= kShortBytes) return slot.second == key.second;
    return std::memcmp(std::bit_cast<const char*>(slot.second), word.data(), word.size()) == 0;
  }

  bool put(const Slot& slot, uint64_t hash) {
    for (size_t probe = 0, at = hash >> shift_; probe < kMaxProbes; ++probe, ++at) {
      if (slots_[at].bytes != 0) continue;
      slots_[at] = slot;
      return true;
    }
    return false;
  }

  void grow() {
    const std::vector<Slot> old = std::move(slots_);
    const size_t homes = 2 * (old.size() - kMaxProbes);
    slots_ = std::vector<Slot>(homes + kMaxProbes);
    shift_ = 64 - std::countr_zero(homes);
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.bytes == 0) continue;
      const uint64_t hash =
          slot.bytes > kShortBytes ? slot.first : mix(slot.first, slot.second + slot.bytes);
      used_ += put(slot, hash);
    }
  }

  // Behind the last home there is room for its probes.
  std::vector<Slot> slots_;
  int shift_ = 64 - std::countr_zero(slots_.size() - kMaxProbes);
  size_t used_ = 0;
};

}  // namespace phial
