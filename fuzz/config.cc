// Any JSON as config.json: a model specification and its plan, or a named error.
#include "engine/plan.h"
#include "model/model.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phial;
  auto config = parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config.ok()) {
    fuzz::check_error(config.error());
    return 0;
  }
  Checkpoint checkpoint;
  checkpoint.path = "m";
  checkpoint.config = *std::move(config);
  const auto spec = model_spec_of(checkpoint);
  if (!spec.ok()) {
    fuzz::check_error(spec.error());
    return 0;
  }
  // What later sizes are made from has no zero and no product that overflows.
  fuzz::require(spec->hidden > 0 && spec->layers > 0 && spec->vocabulary > 0 && spec->context > 0);
  fuzz::require(spec->attention.kv_heads > 0 &&
                spec->attention.heads % spec->attention.kv_heads == 0);
  fuzz::require(spec->rope.inv_freq.size() == static_cast<size_t>(spec->rope.rotary / 2));
  (void)make_plan(*spec);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace phial::fuzz;
  return mutate_in_place(data, size, max_size, seed, [](const std::string& input, Choice& choice) {
    return mutate_json(input, kConfigWords, choice);
  });
}
