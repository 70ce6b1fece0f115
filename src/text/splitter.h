// Cuts text into the words that BPE works on, by hand-made equals of the regular expressions in
// tokenizer files. Linear in the text; no regular expression engine.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "text/tokenizer_spec.h"

namespace phial {

// The end of the word that begins at `at`, which is the start of the text or the end of a word:
// applied again and again it cuts the whole text, every character into exactly one word.
// REQUIRES: at < text.size(), text is UTF-8
using WordEnd = size_t (*)(std::string_view text, size_t at);

WordEnd word_end_function(Splitter splitter);

// The splitter that does what this regular expression does as an isolating Split; nothing when
// there is none. Patterns are compared as text.
std::optional<Splitter> splitter_of_pattern(std::string_view regex);

}  // namespace phial
