#include "text/byte_pieces.h"

#include <algorithm>

namespace phial {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<uint8_t> byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  // Rust's from_str_radix, which the decoder calls, takes a sign.
  const int high = piece[3] == '+' ? 0 : digit(piece[3]);
  const int low = digit(piece[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

void BytePieces::note(std::string_view piece, int32_t id) {
  const std::optional<uint8_t> byte = byte_of_piece(piece);
  if (!byte || piece[3] == '+') return;
  const auto is_small = [](char c) { return c >= 'a'; };
  if (is_small(piece[3]) || is_small(piece[4])) return;
  ids_[*byte] = id;
}

bool BytePieces::append(std::string_view text, std::vector<int32_t>& ids) const {
  const auto id_of = [this](char c) { return ids_[static_cast<uint8_t>(c)]; };
  if (std::ranges::any_of(text, [&](char c) { return id_of(c) < 0; })) return false;
  for (const char c : text) ids.push_back(id_of(c));
  return true;
}

}  // namespace phial
