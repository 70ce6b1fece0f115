// The seam between engines and everything above them: a Decoder turns tokens into logits and keeps
// what it has read, per sequence. The native decoder implements it with a Plan and KV pages;
// engines that run whole models implement the same interface.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace phial {

using SequenceId = int32_t;

// Rows of one pass that the engine promises to compute as it would compute each alone.
inline constexpr int64_t kTogetherRows = 8;

enum class LogitsRows : uint8_t {
  none,
  last,  // one row, of the step's last token
  all,   // a row for each token of the step
};

// A piece of work for one sequence: either tokens or embedding rows, put behind what the sequence
// holds already.
struct Step {
  SequenceId sequence = -1;
  std::span<const int32_t> tokens;
  // [rows, hidden] float32 in place of tokens (images, soft prompts), as they enter the first
  // block: a model that scales its embeddings does not scale these. Empty when tokens are given.
  std::span<const float> embeddings;
  int32_t adapter = -1;  // -1: the plain model
  LogitsRows logits = LogitsRows::last;
};

// Logits of one forward: float32 [rows, vocabulary], the rows of the steps one after another.
struct Logits {
  int64_t vocabulary = 0;
  std::vector<float> values;
  std::vector<int64_t> first_row;  // of each step; a step without logits takes no rows

  int64_t rows() const {
    return vocabulary == 0 ? 0 : static_cast<int64_t>(values.size()) / vocabulary;
  }
  std::span<float> row(int64_t r) {
    return std::span<float>(values).subspan(static_cast<size_t>(r * vocabulary),
                                            static_cast<size_t>(vocabulary));
  }
};

// Takes one part of what a decoder keeps of a sequence, or gives the next one, valid until the call
// after it. What is in the parts is the decoder's business.
using PutPart = std::function<Status(std::span<const uint8_t>)>;
using NextPart = std::function<Result<std::span<const uint8_t>>()>;

struct DecoderTraits {
  int64_t context = 0;     // most tokens of one sequence
  int64_t vocabulary = 0;  // columns of the logits
  int64_t hidden = 0;      // width of an embedding row
  int32_t max_batch = 1;   // most steps of one forward
  int64_t pass_rows = 0;   // most rows computed at a time; a forward may take several passes
  bool can_fork = false;
  bool can_truncate = false;
  bool can_save = false;
  bool takes_embeddings = false;
  bool takes_adapters = false;
};

// Thread safe: calls from several threads take turns.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual DecoderTraits traits() const = 0;

  // An empty sequence that may grow to `context` tokens. usage outside 1..traits().context.
  virtual Result<SequenceId> open(int64_t context) = 0;
  virtual void close(SequenceId sequence) = 0;
  virtual int64_t length(SequenceId sequence) const = 0;

  // A new sequence that holds the first `n` tokens of `sequence`. unsupported unless can_fork.
  virtual Result<SequenceId> fork(SequenceId sequence, int64_t n) = 0;
  // Forgets the tokens from `n` on. unsupported unless can_truncate.
  virtual Status truncate(SequenceId sequence, int64_t n) = 0;

  // How many rows the next step of `sequence` may have such that each gets, bit for bit, what it
  // would get as a step of its own: drafted tokens are checked in one pass of that many.
  virtual int64_t rows_as_alone(SequenceId sequence) const {
    static_cast<void>(sequence);
    return 1;
  }

  // What tells apart models whose saved sequences must not be mixed up.
  virtual uint64_t fingerprint() const { return 0; }
  // Puts what is kept of a sequence, part by part. It may not change meanwhile; other sequences may
  // be used. Errors: those of `put`; unsupported unless can_save, and for a sequence that holds
  // embedding rows.
  virtual Status save(SequenceId sequence, const PutPart& put) {
    static_cast<void>(sequence), static_cast<void>(put);
    return unsupported("save", "this engine cannot save a sequence");
  }
  // Makes `sequence`, which is empty, hold `tokens` with the parts that save() put for these by a
  // decoder of the same fingerprint: it then gives bit for bit what the saved one would have given.
  // After an error it is empty. Errors: those of `next`; damaged, invalid_input (parts that are not
  // of these tokens and this model), context_full, out_of_memory; unsupported unless can_save.
  virtual Status load(SequenceId sequence, std::span<const int32_t> tokens, const NextPart& next) {
    static_cast<void>(sequence), static_cast<void>(tokens), static_cast<void>(next);
    return unsupported("load", "this engine cannot load a sequence");
  }

  // Runs all steps; each names another sequence. All or nothing: after an error or a cancellation
  // every sequence is as it was. `cancel` may be null; it is looked at between layers, so that a
  // request is seen within a small part of one pass.
  // Errors: invalid_input (a token outside the vocabulary, an empty step), context_full,
  // out_of_memory, cancelled; unsupported (rows that were given as embeddings would have to be read
  // again: native_decoder.h); usage (unknown sequence, one sequence twice, more than max_batch).
  virtual Status forward(std::span<const Step> steps, Logits& logits, const CancelFlag* cancel) = 0;
};

}  // namespace phial
