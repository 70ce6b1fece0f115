// A tokenizer as the vocabulary of a GGUF file: the way back from tokenizer_spec_from_gguf(). What
// llama.cpp's tokenizers cannot do is refused; but for what its own converter leaves out as well,
// which changes few texts or none of a real model:
// - the NFC normalizer of byte-level BPE (Qwen);
// - the flags of added tokens that concern white space and words around them;
// - that some SentencePiece tokenizers put a space before the first word only, not behind special
//   tokens as llama.cpp does, and none before a text that begins with one;
// - that T5 takes white space of every kind for the end of a word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace phial {

// As GgufVocabulary, with texts of its own.
struct OwnedGgufVocabulary {
  std::string model;
  std::string pre;
  std::vector<std::string> tokens;
  std::vector<int32_t>
      token_types;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<std::string> merges;  // "left right"; gpt2 only
  std::vector<float> scores;        // llama and t5 only
  std::string precompiled_charsmap;
  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id, cls_id, sep_id;
  std::optional<bool> add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;

  // Views into this object.
  GgufVocabulary view() const;
};

// `pre` is the name that tokenizer.ggml.pre gets; empty: the one whose words are those of `spec`.
// `name` is the file's, for messages. Errors: unsupported names the step or model that llama.cpp
// has not, or the words that it has no name for.
// REQUIRES: a Tokenizer could be made of `spec`
Result<OwnedGgufVocabulary> gguf_vocabulary_of(const TokenizerSpec& spec, std::string_view pre,
                                               std::string_view name);

// Adds unused tokens up to `count`, as the rows of padding in an embedding.
void pad_gguf_vocabulary(OwnedGgufVocabulary& vocabulary, size_t count);

}  // namespace phial
