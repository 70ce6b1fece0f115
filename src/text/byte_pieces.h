// The pieces <0x00> ... <0xFF> that byte_fallback falls back on.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace phial {

// The byte that a piece of six characters, "<0x" and two hexadecimal digits and ">", stands for, as
// the decoder ByteFallback reads it: digits of either case, and a plus before a single one.
std::optional<uint8_t> byte_of_piece(std::string_view piece);

// Ids of the bytes' pieces, spelled with capital digits.
class BytePieces {
 public:
  BytePieces() { ids_.fill(-1); }
  // Notes `id` if `piece` is one of them.
  void note(std::string_view piece, int32_t id);

  // Appends the ids of all bytes of `text`; false, and nothing is appended, when one lacks.
  bool append(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  std::array<int32_t, 256> ids_{};
};

}  // namespace phial
