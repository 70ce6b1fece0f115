// Cuts text into the words that BPE works on, by hand-made equals of the regular expressions in
// tokenizer files. Linear in the text; no regular expression engine.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "text/tokenizer_spec.h"

namespace phial {

// The end of the word that begins at `at`, which is the start of the text or the end of a word:
// applied again and again it cuts the whole text, every character into exactly one word. (A match
// of the expression is a word, and what lies between two matches is one.)
// REQUIRES: at < text.size(), text is UTF-8
using WordEnd = size_t (*)(std::string_view text, size_t at);

WordEnd word_end_function(Splitter splitter);

// Whether every character lies in a match, so that no word is what lies between two.
bool matches_everywhere(Splitter splitter);

// The splitter that does what this regular expression does as an isolating Split; nothing when
// there is none. Patterns are compared as text; a line break may be written as itself or as \r, \n.
std::optional<Splitter> splitter_of_pattern(std::string_view regex);

// The splitter that does what a Split does; nothing when there is none.
std::optional<Splitter> splitter_of_split(const pre_tokenizer::Split& split);

// The regular expressions that splitter_of_pattern() knows.
struct SplitterPattern {
  Splitter splitter;
  std::string_view regex;
};
std::span<const SplitterPattern> splitter_patterns();

}  // namespace phial
