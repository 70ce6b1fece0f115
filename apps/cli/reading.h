// Reading a long prompt piece by piece, so that one can say how far it is.
#pragma once

#include <cstdint>
#include <functional>
#include <phial/phial.hpp>

namespace phial_cli {

struct ReadPart {
  double milliseconds = 0;
  bool cancelled = false;
};

// Of the tokens that `sequence` holds, those before `begin` are computed: computes the others, but
// for the last piece, which is left to generate(). `on_read` hears of each piece how many tokens
// are done, of how many. Throws phial::Error, a cancellation aside.
ReadPart read_in_pieces(phial::Sequence& sequence, int64_t begin,
                        const std::function<void(int64_t done, int64_t total)>& on_read);

}  // namespace phial_cli
