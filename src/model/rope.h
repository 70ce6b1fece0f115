// Rotary position embeddings: from a configuration to a RopeSpec. The formulas are those of
// modeling_rope_utils.py of transformers, in float32 where it computes in float32.
//
// Configurations spell them in two ways: rope_scaling beside rope_theta and partial_rotary_factor
// (before transformers 5), or all of it inside rope_parameters.
//
// | rope_type  | frequencies                                                                    |
// |------------|--------------------------------------------------------------------------------|
// | default    | theta^(-2i/rotary)                                                              |
// | linear     | those / factor                                                                 |
// | llama3     | divided by factor where the wavelength is long, kept where it is short; by     |
// |            | freq_factors where phial wrote them (hf_target_config.h)                       |
// | yarn       | a ramp between the two over the dimensions; cos and sin times mscale           |
// | longrope   | two sets, each with a factor per dimension; which one, the sequence's length says
// | | dynamic    | theta grows with the length beyond max_position_embeddings                     |
//
// LongRoPE: all positions of a sequence take one set, also when the sequence grows over the limit
// or is cut back below it (native_decoder.h). Dynamic: transformers recomputes theta for each
// forward and keeps the keys that earlier forwards left in the cache; so does phial. The rows of a
// forward take the theta of the length that the sequence has after it. This is the one scaling
// under which it matters how a sequence was cut into forwards.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace phial {

// What families differ in.
struct RopeDefaults {
  double theta = 10000.0;
  // Whether partial_rotary_factor is read. Where it is not, one that is not 1 is unsupported.
  bool partial = false;
  // Phi-3's first revisions call LongRoPE "su" or "yarn".
  bool su_is_longrope = false;
};

// Fills spec.rope; for `dynamic` also extends spec.context by the factor. REQUIRES what read_common
// fills. unsupported for a rope_type that is not in the table; damaged for values out of range, a
// list of factors that has not rotary / 2 entries, or a missing one.
Status read_rope(const ConfigReader& config, const RopeDefaults& defaults, ModelSpec& spec);

// inv_freq[i] = 1 / theta^(2i / rotary) in float32.
std::vector<float> plain_inv_freq(double theta, int64_t rotary);

// Frequencies of the rows of a forward after which the sequence has `length` > rope.limit tokens.
// REQUIRES: by_length is dynamic.
std::vector<float> dynamic_inv_freq(const RopeSpec& rope, int64_t length);

}  // namespace phial
