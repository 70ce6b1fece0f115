// What tokenizer.ggml.pre says: how llama.cpp cuts a text into words before byte pair encoding.
#pragma once

#include <optional>
#include <span>
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

// The other way: the first name whose words are made by these cuts, one after the other; nothing
// when llama.cpp has none. Names that mean the same are one to it.
std::optional<std::string_view> gguf_pre_tokenizer_name(std::span<const Splitter> cuts,
                                                        bool ignore_merges);

}  // namespace phial
