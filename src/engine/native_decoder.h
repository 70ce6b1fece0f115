// The native decoder: a Plan run by the CPU executor over refcounted KV pages.
//
// It keeps the tokens of each sequence, and reads them again from the beginning (inside of forward,
// as all or nothing as the rest of it) where what the cache holds is of no use:
//
// - LongRoPE: all positions of a sequence take one set of frequencies, by its length after the
//   forward: the short set up to the limit, the long set beyond, whether the limit is crossed by
//   decoding, by a long step, or back by a truncation. Every row is then what a single forward over
//   the same tokens gives.
// - A truncation to a length whose window reaches into pages that were freed.
//
// Rows that were given as embeddings cannot be read again: such a forward is unsupported.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/decoder.h"
#include "engine/numerics.h"
#include "engine/runtime.h"
#include "model/model.h"

namespace phial {

// What is not asked for follows from the model. Its weights are integers, and there are kernels for
// them: int8, whose error is a hundredth of that of 4-bit weights (docs/performance.md), and keys
// and values in f16, which cannot be told from f32. Weights are floating-point numbers: fp32, and
// f32 with it.
Numerics choose_numerics(const NumericsRequest& asked, const Runtime& runtime, const Model& model);

// Errors: out_of_memory and over_limit for weights that are packed; unsupported for numerics that
// this version lacks.
Result<std::shared_ptr<Decoder>> make_native_decoder(std::shared_ptr<const Runtime> runtime,
                                                     std::shared_ptr<const Model> model,
                                                     const Numerics& numerics = {});

}  // namespace phial
