// Tokenizer files from before tokenizer.json: vocab.json with merges.txt, and SentencePiece models.
// They become the tokenizer.json that transformers 5.23 makes of them, which
// tokenizer_spec_from_hf() then reads.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace phial {

// Which files a folder has; the texts stay owned by the caller. Empty or null: none.
struct SlowTokenizerFiles {
  std::string_view vocab_json = {};            // {"piece": id}
  std::string_view merges_txt = {};            // a pair a line
  std::string_view sentence_piece_model = {};  // sentencepiece_model.proto of google/sentencepiece
  Json added_tokens = {};                      // added_tokens.json: {"content": id}
  Json config = {};                            // tokenizer_config.json
  Json special_tokens_map = {};
  std::string_view model_type = {};  // config.json's, where tokenizer_config.json names no class
};

// The text of a tokenizer.json. What decides is tokenizer_class: of vocab.json GPT-2's and Qwen2's,
// of SentencePiece models Llama's and T5's; without a class SentencePiece's own pipeline.
// unsupported names a class that phial does not know, or a model that is neither BPE nor unigram;
// damaged names what cannot be read; over_limit: more than kMaxTokenIds pieces, or a piece of a BPE
// model longer than 1024 bytes.
// REQUIRES: vocab_json with merges_txt, or sentence_piece_model
Result<std::string> tokenizer_json_of(const SlowTokenizerFiles& files);

}  // namespace phial
