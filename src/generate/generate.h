// The step loop: compute, choose, append, until the answers are finished. One request or many; each
// gets what it would get alone, bit for bit, whatever the options of the others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "generate/generation.h"

namespace phial {

struct GenerateResult {
  // At least one. Without beams in the order of their random streams, else best first; fewer than
  // asked for only where processors leave too few tokens to fill the beams.
  std::vector<Output> outputs;
  int64_t prompt_tokens = 0;    // computed before the first new token
  int64_t new_tokens = 0;       // of all outputs
  int64_t drafted_tokens = 0;   // by speculation
  int64_t accepted_tokens = 0;  // of them: those that were right
  double prefill_ms = 0;        // from the call to the first new token
  double decode_ms = 0;         // from the first new token to the last
};

// Goes on from the end of the request's sequence, which then ends with the first output; its last
// token (under beams all of them) is appended and not always computed. A cancellation is no error:
// the outputs hold what was produced. After an error the sequence holds what it held, and perhaps
// tokens that were chosen before. Errors: usage (options), failed (no token is possible, numbers
// that are none), out_of_memory, and those of edit_scores.
Result<GenerateResult> generate(const GenerateRequest& request);

// The same for many requests at once, each on another sequence of one decoder. A request that ends,
// in whatever way, leaves the others running. Cancel flags are looked at between the steps.
std::vector<Result<GenerateResult>> generate_batch(std::span<const GenerateRequest> requests);

}  // namespace phial
