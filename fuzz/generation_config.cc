// Any JSON as generation_config.json, and as config.json beside it.
#include <cmath>

#include "model/model.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phial;
  const auto json = parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!json.ok()) return 0;
  for (const bool as_config : {false, true}) {
    Checkpoint checkpoint;
    (as_config ? checkpoint.config : checkpoint.generation_config) = *json;
    const auto defaults = generation_defaults(checkpoint, nullptr);
    if (!defaults.ok()) {
      fuzz::check_error(defaults.error());
      continue;
    }
    for (const int32_t id : defaults->end_ids) fuzz::require(id >= 0);
    fuzz::require(std::isfinite(defaults->temperature.value_or(1)));
    fuzz::require(defaults->max_new_tokens.value_or(0) >= 0);
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace phial::fuzz;
  return mutate_in_place(data, size, max_size, seed, [](const std::string& input, Choice& choice) {
    return mutate_json(input, kConfigWords, choice);
  });
}
