// config.json made of a GGUF file's metadata: the reverse of what convert_hf_to_gguf.py does, for
// all families.
#pragma once

#include "base/json.h"
#include "base/status.h"
#include "model/model.h"

namespace phial {

// Keys as transformers writes them, sorted. Numbers that the GGUF has as 32-bit floats are written
// with the fewest digits that lead back to them. llama3's rope scaling, which a GGUF file holds as
// factors of the frequencies, is given by parameters that lead to those, and the factors stand
// beside them as "freq_factors": phial takes those and so keeps every bit.
// Errors: unsupported, naming the key, for factors that no parameters lead to.
// REQUIRES: a GGUF checkpoint
Result<Json> config_to_hf(const Model& model);

// Whether a GGUF file holds a vocabulary; some name a tokenizer and have none.
bool has_vocabulary(const Checkpoint& checkpoint);

}  // namespace phial
