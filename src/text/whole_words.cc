#include "text/whole_words.h"

#include <algorithm>
#include <bit>

namespace phial {

Result<WholeWords> WholeWords::create(const std::vector<Entry>& entries, bool always) {
  // As in MergeTable: random texts stay far below.
  constexpr size_t kMaxProbes = 4096;
  WholeWords made;
  const size_t count = std::bit_ceil(std::max<size_t>(2 * entries.size(), 2));
  made.slots_.assign(count, Slot());
  made.shift_ = 64 - std::countr_zero(count);
  size_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.text.size();
  if (bytes > UINT32_MAX) return over_limit("tokenizer", "its pieces have too many bytes");
  made.texts_.reserve(bytes);
  for (const auto& [text, id] : entries) {
    const uint64_t hash = hash_of_word(text);
    size_t at = hash >> made.shift_;
    for (size_t probes = 0; made.slots_[at].id >= 0; at = (at + 1) & (count - 1)) {
      if (++probes > kMaxProbes) {
        return damaged("tokenizer", "its pieces are made to collide in a hash table");
      }
    }
    made.slots_[at] = {static_cast<uint32_t>(hash), id, static_cast<uint32_t>(made.texts_.size()),
                       static_cast<uint32_t>(text.size())};
    made.texts_ += text;
  }
  made.states_ = std::make_unique<std::atomic<uint8_t>[]>(count);
  if (always) {
    for (size_t at = 0; at < count; ++at) made.note(at, State::whole);
  }
  return made;
}

}  // namespace phial
