// SentencePiece's precompiled_charsmap, as the crate spm_precompiled reads it: replacements of
// short strings. Little-endian layout:
//
//   u32 trie_bytes | u32 unit[trie_bytes / 4] | replacements, UTF-8, each ended by a zero byte
//
// The units are a double-array trie (darts-clone). Of a unit u: label u & 0x800000FF; has a leaf
// u >> 8 & 1; its children lie at its own index ^ offset ^ label, where offset is
// (u >> 10) << (u >> 9 & 1 ? 8 : 0). The unit at index ^ offset of one with a leaf holds in its low
// 31 bits where its replacement begins.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

// Immutable; safe to use from several threads at once.
class Charsmap {
 public:
  // damaged: cut short, or its replacements are not UTF-8. Indices within are checked when used: a
  // path that leaves the array or the replacements, or ends inside a character of these, ends as if
  // the trie did.
  static Result<Charsmap> create(std::string_view bytes, std::string_view where);

  // The replacement of the shortest string of the map that `text` begins with.
  std::optional<std::string_view> find(std::string_view text) const;

  // Appends `text` with every extended grapheme cluster of fewer than six bytes, and else every
  // character, replaced by what find() says. over_limit: more than `max_bytes` in `out`.
  // REQUIRES: text is UTF-8
  Status apply(std::string_view text, size_t max_bytes, std::string& out) const;

 private:
  std::vector<uint32_t> units_;
  std::array<bool, 128> stays_{};  // the character has no replacement
  std::string replacements_;
};

}  // namespace phial
