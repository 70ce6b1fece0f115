#!/usr/bin/env python3
"""Writes src/tensor/lattice_points.inl: which points of a small lattice the codebooks of GGUF's iq1,
iq2 and iq3 types consist of.

Needs: pip install gguf==0.19.0, whose gguf.quants knows the codebooks. Each is a set of points with
8 (iq1, iq2) or 4 (iq3) coordinates of 3 (8) possible values, in ascending order when a point is read
as a number whose least significant digit is the first coordinate. So one bit per lattice point says
everything.
"""

import pathlib

import numpy as np
from gguf import quants

BOOKS = [
    ("kIq1Points", quants.IQ1_S),
    ("kIq2XxsPoints", quants.IQ2_XXS),
    ("kIq2XsPoints", quants.IQ2_XS),
    ("kIq2SPoints", quants.IQ2_S),
    ("kIq3XxsPoints", quants.IQ3_XXS),
    ("kIq3SPoints", quants.IQ3_S),
]


def bitmap(book):
    book.init_grid()
    points = book.grid.reshape(book.grid_shape)
    base, coordinates = len(book.grid_map), points.shape[1]
    digits = np.searchsorted(np.array(book.grid_map), points)
    numbers = (digits * base ** np.arange(coordinates)).sum(axis=1)
    assert (np.diff(numbers) > 0).all(), "not in ascending order"
    bits = np.zeros((base**coordinates + 63) // 64 * 64, np.uint8)
    bits[numbers] = 1
    return np.packbits(bits, bitorder="little").view("<u8")


def main():
    lines = ["// Written by tests/golden/make_codebooks.py: bit n says whether lattice point n is in the codebook.",
             "// clang-format off"]
    for name, book in BOOKS:
        words = bitmap(book)
        lines += ["", f"constexpr uint64_t {name}[{len(words)}] = {{"]
        for i in range(0, len(words), 5):
            lines.append("    " + " ".join(f"0x{word:x}," for word in words[i : i + 5]))
        lines.append("};")
    path = pathlib.Path(__file__).parents[2] / "src/tensor/lattice_points.inl"
    path.write_text("\n".join([*lines, "// clang-format on"]) + "\n")


if __name__ == "__main__":
    main()
