// What tells one model from another for those who keep what a model has computed.
#pragma once

#include <cstdint>

#include "engine/numerics.h"
#include "model/model.h"

namespace phial {

// A hash of everything the spec says, of every tensor's name, type, shape and size, and of 64 bytes
// at the beginning, in the middle and at the end of each: models that were trained differently
// differ in it, and only a few pages of each tensor are read. docs/session-format.md has it byte
// for byte. The same on every machine, as far as its mathematics library makes the same rope
// frequencies.
// How it is computed counts as well, unless that is in float32 with float32 keys and values.
uint64_t model_fingerprint(const Model& model, const Numerics& numerics = {});

}  // namespace phial
