// One request for answers while it runs: what has to be computed next, and what to do with the
// logits. generate.h drives one or many of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/rng.h"
#include "base/status.h"
#include "engine/sequence.h"
#include "generate/logprobs.h"
#include "generate/options.h"
#include "text/tokenizer.h"

namespace phial {

enum class FinishReason : uint8_t {
  stop,       // an end id or a stop string
  length,     // max_new_tokens, max_length or the context
  cancelled,  // a cancel flag, or the callback's wish
};

// Called with each new token and the text that became certain with it; once more at the end, with
// the id -1, when text was held back until then. False stops the generation. Only where one answer
// is given, without beams.
using OnToken = std::function<bool(int32_t id, std::string_view text)>;

struct GenerateRequest {
  Sequence* sequence = nullptr;  // the prompt; at least one token
  GenerateOptions options = {};
  // The random numbers of the first answer, or of all beams; answer i > 0 draws from its own
  // stream, Rng(seed + i). Never null.
  Rng* rng = nullptr;
  uint64_t seed = 0;
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;  // null: no text
  OnToken on_token = {};
  const CancelFlag* cancel = nullptr;
};

struct Output {
  std::vector<int32_t> ids;  // new ones, the end token included
  // Of the ids, special tokens left out; ends before a stop string.
  std::string text;
  FinishReason finish = FinishReason::length;
  // Under beam search the sum of the (processed) log-probabilities, normalized by length_penalty;
  // else 0.
  float score = 0;
  std::vector<TokenLogprobs> logprobs;  // of each id, when asked for
};

// What both kinds of generation share.
class Generation {
 public:
  virtual ~Generation() = default;

  // usage for options that are out of range or need a tokenizer that is missing, and for an empty
  // sequence. `request` must outlive the generation; its sequence may change only through it.
  static Result<std::unique_ptr<Generation>> create(const GenerateRequest& request);

  bool done() const { return done_; }
  // The sequences whose last logits advance() reads: first the request's alone, with the prompt.
  virtual std::vector<Sequence*> waiting() = 0;
  // Computes the only one of waiting(), perhaps with drafts of what follows.
  virtual Status compute_alone() {
    return waiting().front()->compute_logits(LogitsRows::last, request_.cancel);
  }
  // Chooses a token for each running answer, more where drafts were right. After an error the
  // generation is over.
  virtual Status advance() = 0;
  // Ends it with what there is.
  virtual void cancel() = 0;
  // Tokens that were drafted, and those of them that were right.
  virtual int64_t drafted() const { return 0; }
  virtual int64_t accepted() const { return 0; }
  // REQUIRES: done()
  virtual Result<std::vector<Output>> take() = 0;

 protected:
  explicit Generation(const GenerateRequest& request);

  bool is_end(int32_t id) const;
  // The raw log-probabilities that the options ask for; nothing when they do not.
  void add_logprobs(std::span<const float> logits, int32_t id,
                    std::vector<TokenLogprobs>& out) const;

  const GenerateRequest& request_;
  const GenerateOptions& options_;
  int64_t prompt_tokens_;
  int64_t max_new_tokens_;  // as the options and the context allow
  bool done_ = false;
};

std::unique_ptr<Generation> make_sample_generation(const GenerateRequest& request);
std::unique_ptr<Generation> make_beam_generation(const GenerateRequest& request);

}  // namespace phial
