// A token history over a Decoder: what was appended, what of it is computed, and the logits of the
// last compute. Rewind and fork work with every decoder: one that cannot truncate or fork is made
// to read the history again.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/decoder.h"
#include "sys/files.h"

namespace phial {

// Belongs to one thread at a time; only the CancelFlag may be touched by others.
class Sequence {
 public:
  // `context` 0: the decoder's. usage or over_limit outside 1..traits().context.
  static Result<std::unique_ptr<Sequence>> create(std::shared_ptr<Decoder> decoder,
                                                  int64_t context);
  // A sequence as save() has written it: tokens and, where the decoder keeps such, what is computed
  // of them, so that whatever follows gives bit for bit what it would have given there. Logits are
  // not in the file; compute_logits gives them again. `context` as create.
  // Errors: those of create and of Files; unsupported (no session file, or of another version),
  // damaged, invalid_input (of another model, ids outside the vocabulary), context_full.
  static Result<std::unique_ptr<Sequence>> load(std::shared_ptr<Decoder> decoder, int64_t context,
                                                const Files& files, const std::string& path);
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  const std::vector<int32_t>& tokens() const { return tokens_; }
  int64_t length() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t computed() const { return computed_; }
  int64_t context() const { return context_; }
  int64_t vocabulary() const { return vocabulary_; }

  // invalid_input for ids outside the vocabulary, context_full beyond context(); then nothing is
  // appended.
  Status append(std::span<const int32_t> ids);
  // Computes all tokens that are not computed yet; after a rewind, when only the logits are gone,
  // the last token again. usage when there is nothing to compute.
  Status compute_logits(LogitsRows rows, const CancelFlag* cancel);
  // compute_logits(LogitsRows::last) of several sequences of one decoder, each named once, in few
  // passes. A pass takes sequences together only up to the rows whose results do not depend on
  // each other (kTogetherRows): each sequence gets the bits it would get alone. After an error or a
  // cancellation each sequence is either computed or as it was.
  static Status compute_together(std::span<Sequence* const> sequences, const CancelFlag* cancel);
  // compute_logits(LogitsRows::last), and with it, in the same pass, what it would give behind each
  // of `drafts`, tokens that may come next. They are not part of the sequence: append() of the
  // first of them alone finds it computed and its logits there; any other change forgets them.
  // REQUIRES: drafts.size() <= drafts_limit(); the ids are within the vocabulary
  Status compute_logits_ahead(std::span<const int32_t> drafts, const CancelFlag* cancel);
  // How many drafts may be checked without changing a bit of what follows; 0 where the last token
  // is not the only one to compute.
  int64_t drafts_limit() const;
  // Makes the sequence what it would be without any drafts: those left are forgotten, and a last
  // token that was one of them is not computed.
  Status forget_ahead();

  // Logits of the last compute; empty after append or rewind.
  Logits& logits() { return logits_; }
  // Forgets the tokens from `length` on. usage outside 0..length().
  Status rewind(int64_t length);
  Result<std::unique_ptr<Sequence>> fork();
  // Writes a file for load(): docs/session-format.md. It appears under its name when it is whole.
  // Errors: those of Files, out_of_memory.
  Status save(const Files& files, const std::string& path);

 private:
  Sequence(std::shared_ptr<Decoder> decoder, SequenceId id, int64_t context);

  // Makes the last token one that is not computed when its logits are wanted again. usage when
  // there is nothing to compute.
  Status prepare();
  Step step(LogitsRows rows) const;

  // The decoder holds the drafts behind the tokens; here are those not yet appended.
  struct Ahead {
    std::vector<int32_t> drafts;
    Logits logits;  // a row for each draft of the pass
    size_t next = 0;
  };
  Status forget_drafts();

  // Makes the decoder hold at most the first `n` tokens; sets computed_ to what it then holds.
  Status forget(int64_t n);

  std::shared_ptr<Decoder> decoder_;
  SequenceId id_;
  int64_t context_;
  int64_t vocabulary_;
  std::vector<int32_t> tokens_;
  int64_t computed_ = 0;
  Logits logits_;
  Ahead ahead_;
};

}  // namespace phial
