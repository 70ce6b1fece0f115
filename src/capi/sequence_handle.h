// What stands behind phial_sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/cancel.h"
#include "base/rng.h"
#include "capi/open_model.h"
#include "engine/sequence.h"

struct phial_sequence {
  std::shared_ptr<phial::capi::OpenModel> model;
  std::unique_ptr<phial::Sequence> sequence;
  phial::CancelFlag cancel;
  std::optional<phial::Rng> rng;
  uint64_t rng_seed = 0;

  // The stream of random numbers: kept, unless there is none yet or `seed` asks for another one.
  phial::Rng& random(std::optional<uint64_t> seed, bool restart);
};
