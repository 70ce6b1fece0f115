// tokenizer.json and its companions, written from a TokenizerSpec that came from a GGUF vocabulary.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "model/model.h"
#include "model/target.h"
#include "text/tokenizer_spec.h"

namespace phial {

// The text of a tokenizer.json that gives the ids of `spec`, with the members in the order of the
// `tokenizers` library. SentencePiece's BPE merges equal scores from the left; the format has no
// equal ranks, so merges that lead to one piece are ordered as transformers' converter does.
// unsupported, naming `where`: models and steps that no GGUF vocabulary of phial's families leads
// to (word pieces).
Result<std::string> tokenizer_json_text(const TokenizerSpec& spec, const std::string& where);

// tokenizer.json, tokenizer_config.json (special tokens by role, chat templates), and
// special_tokens_map.json. `context` becomes model_max_length.
Result<std::vector<TargetFile>> hf_tokenizer_files(const TokenizerSpec& spec,
                                                   const std::vector<NamedTemplate>& templates,
                                                   int64_t context, const std::string& where);

}  // namespace phial
