// phial_generate_options as the generate room takes them.
#pragma once

#include <memory>
#include <optional>

#include "capi/open_model.h"
#include "generate/options.h"
#include "phial/phial.h"

namespace phial::capi {

struct Sampling {
  SamplingOptions options;
  std::optional<uint64_t> seed;
};

// The caller's sampling, checked; the model's own when `given` is null.
Result<Sampling> read_sampling(OpenModel& model, const phial_sampling* given, const char* function);

struct GenerateCall {
  GenerateOptions options;
  std::optional<uint64_t> seed;
  phial_token_callback on_token = nullptr;
  void* user = nullptr;
};

// The caller's options over the model's; the model's own when `given` is null. `prompt_tokens`: a
// max_length of the model that the prompt has reached is passed over. Ranges are checked by
// check_options; texts and arrays are copied.
Result<GenerateCall> read_generate_options(OpenModel& model, const phial_generate_options* given,
                                           int64_t prompt_tokens, const char* function);

}  // namespace phial::capi
