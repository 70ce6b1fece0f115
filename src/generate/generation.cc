#include "generate/generation.h"

#include <algorithm>

#include "generate/speculation.h"

namespace phial {

Generation::Generation(const GenerateRequest& request)
    : request_(request), options_(request.options), prompt_tokens_(request.sequence->length()) {
  max_new_tokens_ = request.sequence->context() - prompt_tokens_;
  if (options_.max_new_tokens >= 0) {
    max_new_tokens_ = std::min(max_new_tokens_, options_.max_new_tokens);
  } else if (options_.max_length >= 0) {
    max_new_tokens_ = std::min(max_new_tokens_, options_.max_length - prompt_tokens_);
  }
  max_new_tokens_ = std::max<int64_t>(max_new_tokens_, 0);
}

Result<std::unique_ptr<Generation>> Generation::create(const GenerateRequest& request) {
  PHIAL_TRY(check_options(request.options, request.sequence->vocabulary()));
  if (request.sequence->length() == 0) {
    return usage_error("generate", "the sequence is empty", "append a prompt first");
  }
  if (!request.options.stop_strings.empty() && request.tokenizer == nullptr) {
    return usage_error("stop_strings", "the model has no tokenizer that could find them");
  }
  if (const auto& assistant = request.options.speculation.assistant) {
    PHIAL_TRY(check_assistant(*assistant, request.sequence->vocabulary()));
  }
  return request.options.beams.num_beams > 1 ? make_beam_generation(request)
                                             : make_sample_generation(request);
}

bool Generation::is_end(int32_t id) const {
  return std::ranges::find(options_.end_ids, id) != options_.end_ids.end();
}

void Generation::add_logprobs(std::span<const float> logits, int32_t id,
                              std::vector<TokenLogprobs>& out) const {
  if (options_.logprobs) out.push_back(token_logprobs(logits, id, *options_.logprobs));
}

}  // namespace phial
