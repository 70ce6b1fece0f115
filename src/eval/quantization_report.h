// What a conversion cost: what became of each tensor, and how that looks.
#pragma once

#include <string>

#include "base/json.h"
#include "base/status.h"
#include "quantize/convert.h"

namespace phial {

// {"format","scheme","effort","bytes","bits_per_weight","seconds","peak_anonymous_bytes","weights",
//  "relative_error","grids":[{"name","tensors","weights","bytes"}],
//  "tensors":[{"name","kind","layer","source_grid","grid","rows","columns","bytes",
//              "bits_per_weight","exact","relative_error","weighted_error"?}],
//  "worst":[names]}.
// An error is relative: the root of the mean square of what the values moved by, over that of the
// values; `weighted_error` counts columns by their importance, where there is such. `kind` is the
// part a tensor plays ("attn_q"), the same for all formats; `layer` is null outside the layers;
// `worst` are the tensors of the largest errors, at most eight, the largest first.
// REQUIRES: `result` is of a run of `plan`
Json quantization_report(const ConvertPlan& plan, const ConvertResult& result);

// A self-contained SVG of one such report or an array of them: for the first, the error of each
// layer's tensors by kind; for all whose member "quality" is what phial_compare_json gives, size
// against mean KL. A member "name" of a report stands beside its point, else its scheme.
// Errors: invalid_input (no report, or one that lacks what is drawn).
Result<std::string> quantization_svg(const Json& reports);

}  // namespace phial
