// What tokenizer.ggml.pre says: how llama.cpp cuts a text into words before byte pair encoding.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "text/tokenizer_spec.h"

namespace phial {

struct GgufPreTokenizer {
  std::vector<pre_tokenizer::Step> steps;
  bool ignore_merges = false;  // a word that is a piece by itself is taken whole
  bool add_bos = false;        // unless tokenizer.ggml.add_bos_token says otherwise
  // Pieces spell text with U+2581 for a space, as SentencePiece's do, not the byte-level alphabet.
  bool marks_spaces = false;
};

// unsupported, naming `where`, for a name that phial does not know. "" is "default".
Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre, std::string_view where);

}  // namespace phial
