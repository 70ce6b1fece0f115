// The one-call form of generation.
#include "generate/generate.h"

#include <optional>
#include <string>

#include "capi/guard.h"
#include "capi/options.h"
#include "capi/sequence_handle.h"

using namespace phial;
using namespace phial::capi;

namespace {

// Hands new tokens to the caller's function, with the text that each makes certain.
class TokenStream {
 public:
  TokenStream(const phial_generate_options& options, std::shared_ptr<const Tokenizer> tokenizer)
      : callback_(options.on_token), user_(options.user) {
    if (callback_ != nullptr && tokenizer != nullptr) {
      size_ = tokenizer->size();
      decoder_.emplace(std::move(tokenizer), /*skip_special_tokens=*/true);
    }
  }

  // Whether to go on. An error of the decoder ends the generation and is kept.
  bool push(int32_t id) {
    if (callback_ == nullptr) return true;
    std::string text;
    // Padding rows of the logits, beyond the tokenizer's ids, have no text.
    if (decoder_ && id < size_) {
      Result<std::string> piece = decoder_->push(id);
      if (!piece.ok()) {
        status_ = std::move(piece).error();
        return false;
      }
      text = std::move(piece).value();
    }
    stopped_ = callback_(user_, id, text.data(), text.size()) != 0;
    return !stopped_;
  }

  Status finish() {
    if (!status_.ok()) return std::move(status_);
    if (decoder_ && !stopped_) {
      const std::string rest = decoder_->finish();
      if (!rest.empty()) callback_(user_, -1, rest.data(), rest.size());
    }
    return {};
  }

  bool stopped() const { return stopped_; }

 private:
  phial_token_callback callback_;
  void* user_;
  int32_t size_ = 0;
  std::optional<StreamDecoder> decoder_;
  Status status_;
  bool stopped_ = false;
};

phial_finish finish_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return PHIAL_FINISH_STOP;
    case FinishReason::length:
      return PHIAL_FINISH_LENGTH;
    case FinishReason::cancelled:
      return PHIAL_FINISH_CANCELLED;
  }
  return PHIAL_FINISH_STOP;
}

Result<GenerateOptions> loop_options(OpenModel& model, const phial_generate_options& given,
                                     const SamplingOptions& sampling, const char* function) {
  if (given.max_new_tokens < -1) {
    return usage_error(function, "max_new_tokens is " + std::to_string(given.max_new_tokens) +
                                     "; 0 or more, or -1 for the model's own");
  }
  PHIAL_ASSIGN(const GenerationDefaults defaults, model.generation_defaults());
  GenerateOptions options;
  options.sampling = sampling;
  options.max_new_tokens =
      given.max_new_tokens >= 0 ? given.max_new_tokens : defaults.max_new_tokens.value_or(-1);
  if (given.ignore_eos == 0) options.end_ids = defaults.end_ids;
  return options;
}

}  // namespace

phial_error* phial_generate(phial_sequence* sequence, const phial_generate_options* options,
                            phial_buffer** new_ids, phial_finish* finish,
                            phial_generate_stats* stats) {
  static constexpr char kFunction[] = "phial_generate";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(new_ids, kFunction, "new_ids"));
    if (stats != nullptr) {  // before anything is computed
      PHIAL_ASSIGN([[maybe_unused]] const size_t known, shared_bytes(stats, kFunction));
    }
    PHIAL_ASSIGN(const phial_generate_options given,
                 read_options(options, PHIAL_GENERATE_OPTIONS_INIT, kFunction));
    OpenModel& model = *sequence->model;
    PHIAL_ASSIGN(const Sampling sampling, read_sampling(model, given.sampling, kFunction));
    PHIAL_ASSIGN(const GenerateOptions loop,
                 loop_options(model, given, sampling.options, kFunction));
    std::shared_ptr<const Tokenizer> tokenizer;
    if (auto found = model.tokenizer(); found.ok()) tokenizer = *found;
    TokenStream stream(given, std::move(tokenizer));
    PHIAL_ASSIGN(const GenerateResult result,
                 generate(
                     *sequence->sequence, loop, sequence->random(sampling.seed, true),
                     [&stream](int32_t id) { return stream.push(id); }, &sequence->cancel));
    if (result.finish == FinishReason::cancelled && !stream.stopped()) sequence->cancel.reset();
    PHIAL_TRY(stream.finish());
    if (stats != nullptr) {
      phial_generate_stats out = PHIAL_GENERATE_STATS_INIT;
      out.prompt_tokens = result.prompt_tokens;
      out.new_tokens = static_cast<int64_t>(result.new_ids.size());
      out.prefill_ms = result.prefill_ms;
      out.decode_ms = result.decode_ms;
      PHIAL_TRY(write_struct(out, stats, kFunction));
    }
    if (finish != nullptr) *finish = finish_of(result.finish);
    *new_ids = ids_buffer(result.new_ids);
    return {};
  });
}
