// Rows of a target tensor, from whichever piece of the source holds them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/target.h"

namespace phial {

// fn(piece, row of the piece's view, row counted from `first`) for rows [first, first + rows).
template <class Fn>
void each_source_row(const TargetTensor& target, int64_t first, int64_t rows, const Fn& fn) {
  int64_t begin = 0;
  for (const TargetRows& piece : target.pieces) {
    const int64_t from = std::max(first, begin);
    const int64_t to = std::min(first + rows, begin + piece.view.rows);
    for (int64_t r = from; r < to; ++r) fn(piece, piece.source_row(r - begin), r - first);
    begin += piece.view.rows;
  }
}

inline void read_rows(const TargetTensor& target, int64_t first, int64_t rows, float* out) {
  each_source_row(target, first, rows, [&](const TargetRows& piece, int64_t source, int64_t r) {
    piece.view.decode(source, out + r * piece.view.columns);
  });
}

}  // namespace phial
