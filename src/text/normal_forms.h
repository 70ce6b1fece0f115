// Unicode's normal forms, as the crate unicode-normalization-alignments of Hugging Face
// `tokenizers` makes them: with the tables of Unicode 9.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Appends the normal form of `text` to `out`. out_of_memory: as it says.
// REQUIRES: text is UTF-8
Status append_normal_form(std::string_view text, normalizer::Unicode::Form form, std::string& out);

}  // namespace phial
