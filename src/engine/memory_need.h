// How much anonymous memory computing takes, told before any of it is taken.
//
// Counted, at its largest: keys and values of a sequence's whole context in pages of 64 positions
// (they are taken page by page, but a sequence may fill them all); the buffers of one pass; the
// logits of the passes that are held at once. Not counted: weights that stay in the
// mapped file, which the system may drop and read again (those that are packed are:
// engine/cpu/packed_weights.h); and what is parsed from a model's files, which
// ParseBudget bounds.
#pragma once

#include <cstdint>
#include <string>

#include "engine/numerics.h"
#include "model/model_spec.h"

namespace phial {

// Keys and values of `context` positions. All of these saturate at INT64_MAX.
int64_t kv_bytes(const ModelSpec& spec, int64_t context, KvType type = KvType::f32);
// Buffers of a pass over at most `rows` rows by `threads` workers; taken once per decoder.
int64_t pass_bytes(const ModelSpec& spec, int64_t rows, int threads, const Numerics& numerics = {});
// Rows of logits that a decoder keeps memory for between forwards; counted in pass_bytes.
inline constexpr int64_t kKeptLogitsRows = 8;
// Logits of `rows` rows.
int64_t logits_bytes(const ModelSpec& spec, int64_t rows);

// "15 MB", rounded up, so that the figure is enough when it is given as a budget.
std::string size_text(int64_t bytes);

}  // namespace phial
