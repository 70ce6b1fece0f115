// The step loop: compute, sample, append, until an end token, the length or a cancellation.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/cancel.h"
#include "base/rng.h"
#include "base/status.h"
#include "engine/sequence.h"
#include "generate/sampling.h"

namespace phial {

enum class FinishReason : uint8_t { stop, length, cancelled };

struct GenerateOptions {
  SamplingOptions sampling = {};
  int64_t max_new_tokens = -1;        // -1: up to the context
  std::vector<int32_t> end_ids = {};  // generation stops behind one of these; empty: never
};

struct GenerateResult {
  std::vector<int32_t> new_ids;  // the end token included
  FinishReason finish = FinishReason::length;
  int64_t prompt_tokens = 0;  // computed before the first new token
  double prefill_ms = 0;      // from the call to the first new token
  double decode_ms = 0;       // from the first new token to the last
};

// Called with each new token; false stops the generation.
using OnToken = std::function<bool(int32_t id)>;

// Goes on from the end of `sequence`, which must hold at least one token. A cancellation is no
// error: the result holds what was produced, and the sequence keeps it. The last new token is
// appended but not computed.
Result<GenerateResult> generate(Sequence& sequence, const GenerateOptions& options, Rng& rng,
                                const OnToken& on_token, const CancelFlag* cancel);

}  // namespace phial
