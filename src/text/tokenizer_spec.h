// TokenizerSpec: a tokenizer as plain data, whatever file it came from. Readers fill it, Tokenizer
// runs it. Semantics are those of Hugging Face `tokenizers` 0.23 (its Rust source).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace phial {

// How text is cut into words before BPE.
enum class Splitter : uint8_t {
  none,              // the whole text is one word
  gpt2,              // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  smollm,            // every \p{N} alone, then gpt2 on what lies between
  llama3,            // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
                     //  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  llamacpp_default,  // [\p{P}\$\+<=>\^~\|]+ isolated, then gpt2 without its last branch, then
                     // \p{N}+, then [0-9][0-9][0-9]; what llama.cpp does for pre "default"
};

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool lstrip = false;       // takes white space to its left into the match
  bool rstrip = false;       // ... to its right
  bool single_word = false;  // matches only where no word character touches it
  bool normalized = false;   // matched after normalization
};

struct TokenizerSpec {
  enum class Model : uint8_t { byte_level_bpe };

  Model model = Model::byte_level_bpe;
  // Raw vocabulary pieces by id, in the byte-level alphabet (U+0120 for a space ...); an empty
  // string marks an id without a piece.
  std::vector<std::string> pieces;
  // Pairs of ids in order of rank, and what each pair becomes.
  struct Merge {
    int32_t left, right, result;
  };
  std::vector<Merge> merges;
  bool ignore_merges = false;  // a word that is a piece by itself is taken whole
  // What a byte without a piece becomes; nothing: it is dropped. With fuse_unknown a run of them
  // becomes one id.
  std::optional<int32_t> unknown_piece_id;
  bool fuse_unknown = false;
  Splitter splitter = Splitter::gpt2;
  bool add_prefix_space = false;  // before text, and text after an added token, without a space
  std::vector<AddedToken> added_tokens;  // sorted by id
  // Ids put before and after the text when special tokens are asked for.
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  bool clean_up_tokenization_spaces = false;  // decoding drops spaces before . ? ! , n't 's ...

  // The roles of tokens, where the files tell.
  std::optional<int32_t> bos_id, eos_id, pad_id, unk_id;
};

// From the text of a tokenizer.json; `config` is tokenizer_config.json or null,
// `special_tokens_map` likewise. They name bos, eos ... and may add tokens and make tokens special,
// as in transformers 5: there tokenizer.json's post-processor decides alone what is put around the
// text, whatever add_bos_token says. unsupported names the member and the type that phial does not
// do yet; damaged names what contradicts itself (an id twice or out of range, a merge of unknown
// pieces).
Result<TokenizerSpec> tokenizer_spec_from_hf(std::string_view tokenizer_json, const Json& config,
                                             const Json& special_tokens_map, std::string_view name);

// Largest id of a token plus one: far above the vocabularies in use (2^18).
inline constexpr size_t kMaxTokenIds = size_t{1} << 24;

// The vocabulary of a GGUF file; views stay owned by the caller.
struct GgufVocabulary {
  std::string_view model;  // tokenizer.ggml.model: "gpt2" ...
  std::string_view pre;    // tokenizer.ggml.pre: "smollm", "llama-bpe" ...
  std::vector<std::string_view> tokens;
  std::vector<int64_t> token_types;      // 1 normal, 2 unknown, 3 control, 4 user defined, 6 byte
  std::vector<std::string_view> merges;  // "left right"
  std::optional<int64_t> bos_id, eos_id, unk_id, pad_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

// For model "gpt2": control tokens (type 3) are special and user defined ones (4) are not; unused
// ids (5) have no piece. unsupported names the model or pre-tokenizer that phial does not know;
// damaged names what contradicts itself.
Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufVocabulary& vocabulary,
                                               std::string_view name);

}  // namespace phial
