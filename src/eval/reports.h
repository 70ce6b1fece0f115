// Reports that cross the ABI as one JSON value: what a model is, what the machine is.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "engine/runtime.h"
#include "formats/checkpoint.h"

namespace phial {

// {"format","architecture","parameters","context_length","vocabulary_size","quantization","bytes",
//  "grids":[{"name","tensors","parameters","bytes"}],
//  "tensors":[{"name","dtype","shape","bytes"}]?}.
// `quantization` is the grid that holds most bytes of the matrices ("q4_1", MLX's "4-bit g64").
// Never needs a supported architecture: what cannot be told is null.
Json model_info(const Checkpoint& checkpoint, bool with_tensors);

// {"version","cpu":{...},"isa":{"chosen","available"},"memory":{...},"threads","backends"}
Json doctor_report(const Runtime& runtime, std::string_view version);

// [{"code","exit_code","meaning"}], the fixed list of errors.
Json error_list();

}  // namespace phial
