#include "reading.h"

#include <chrono>
#include <string_view>
#include <vector>

namespace phial_cli {
namespace {

// Rows of one pass of the engine: cutting a prompt at its multiples changes no number.
constexpr int64_t kPieceTokens = 256;

}  // namespace

ReadPart read_in_pieces(phial::Sequence& sequence, int64_t begin,
                        const std::function<void(int64_t done, int64_t total)>& on_read) {
  ReadPart part;
  const int64_t end = sequence.length();
  if (end - begin <= kPieceTokens) return part;
  // The sequence computes all that it holds: what is not its turn yet waits outside.
  const std::vector<int32_t> ids = sequence.tokens();
  const auto started = std::chrono::steady_clock::now();
  sequence.rewind(begin);
  int64_t at = begin;
  while (end - at > kPieceTokens && !part.cancelled) {
    sequence.append({ids.begin() + at, ids.begin() + at + kPieceTokens});
    at += kPieceTokens;
    try {
      sequence.compute_logits();
      on_read(at - begin, end - begin);
    } catch (const phial::Error& error) {
      if (std::string_view(error.code()) != "cancelled") throw;
      part.cancelled = true;
    }
  }
  sequence.append({ids.begin() + at, ids.end()});
  part.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  return part;
}

}  // namespace phial_cli
