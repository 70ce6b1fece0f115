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
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/numerics.h"
#include "model/model_spec.h"
#include "sys/memory_budget.h"

namespace phial {

// Keys and values of `context` positions. All of these saturate at INT64_MAX.
int64_t kv_bytes(const ModelSpec& spec, int64_t context, KvType type = KvType::f32);
// Rows of one pass of the engine: enough that unpacking weights costs little beside the products,
// few enough that the rows' state stays small and a cancellation is seen soon.
inline constexpr int64_t kMostPassRows = 512, kLeastPassRows = 64;
// Buffers of passes over up to `rows` rows by `threads` workers; taken once per decoder.
int64_t pass_bytes(const ModelSpec& spec, int64_t rows, int threads, const Numerics& numerics = {});
// The rows of passes beside a budget: kMostPassRows, halved down to kLeastPassRows until their
// buffers take no more than a quarter of what is left. Without a budget, kMostPassRows.
int64_t choose_pass_rows(const ModelSpec& spec, int threads, const Numerics& numerics,
                         const MemoryBudget* budget);
// Rows of logits that a decoder keeps memory for between forwards; counted in pass_bytes.
inline constexpr int64_t kKeptLogitsRows = 8;
// Logits of `rows` rows.
int64_t logits_bytes(const ModelSpec& spec, int64_t rows);

// Logits that are held where tokens are made one by one: those of a token are computed while those
// of the token before are still held.
int64_t held_logits_bytes(const ModelSpec& spec);
// The least with which a token can be computed: buffers, logits and the shortest context.
int64_t least_bytes(const ModelSpec& spec, int threads, const Numerics& numerics);

// "15 MB", rounded up, so that the figure is enough when it is given as a budget.
std::string size_text(int64_t bytes);

// Takes `bytes` for `what`, a plural, such as "packed weights"; nothing where there is no budget.
// over_limit, with `hint`, when they are not left.
Result<MemoryLease> take_memory(const std::shared_ptr<MemoryBudget>& budget, int64_t bytes,
                                std::string_view what, std::string_view hint);

}  // namespace phial
