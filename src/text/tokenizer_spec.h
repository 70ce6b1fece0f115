// TokenizerSpec: a tokenizer as plain data, whatever file it came from. Readers fill it, Tokenizer
// runs it. Semantics are those of Hugging Face `tokenizers` 0.23 (its Rust source).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace phial {

// How text is cut into words by hand-made equals of regular expressions, each working like a Split
// that isolates its matches. The expressions themselves are in splitter.cc.
enum class Splitter : uint8_t {
  none,  // the whole text is one word
  // Whole texts.
  gpt2,              // GPT-2, and most models before 2024
  smollm,            // every \p{N} alone, then gpt2 on what lies between
  llamacpp_default,  // punctuation alone, gpt2, numbers alone in threes: llama.cpp's "default"
  llama3,            // Llama 3, GPT-4 (cl100k), DBRX, Phi-4, GLM-4: numbers in threes
  qwen2,             // llama3 with single numbers: Qwen2, Qwen3, StableLM 2
  qwen35,            // qwen2 with marks among letters: Qwen3.5
  ufakzeka,          // qwen2 without English endings
  bailing,           // qwen2, as Bailing writes it
  minicpm5,          // llama3 with numbers of any length
  seed_coder,        // qwen2 whose punctuation does not take line breaks
  exaone_moe,        // words with spaces between them in one
  o200k,             // GPT-4o, GPT-OSS, Llama 4, Phi-4-mini: upper and lower case
  o200k_digits,      // o200k with single numbers: Youtu
  tekken,            // o200k_digits without English endings: Mistral NeMo and later
  kimi_k2,           // o200k with Han apart
  deepseek3,         // the third of DeepSeek V3's Splits
  // Texts in part: what lies between matches is one word.
  bloom,           // runs of anything but white space and sentence marks, with a space before
  number,          // \p{N}
  numbers,         // \p{N}+
  numbers_3,       // \p{N}{1,3}
  digits_3,        // [0-9][0-9][0-9]
  line_break,      // [\r\n]
  lines,           // [^\n]+|[\n]+
  not_white,       // \S+
  trailing_white,  // \s+$
  letters,         // \s?\p{L}+
  punctuation,     // \s?\p{P}+
  falcon_signs,    // [\p{P}\$\+<=>\^~\|`]+
  default_signs,   // [\p{P}\$\+<=>\^~\|]+
  deepseek_latin,  // \s?[A-Za-z ...]+ of DeepSeek LLM
  deepseek_signs,  // \s?[!-/:-~ ...]+ of DeepSeek LLM
  deepseek_cjk,    // ideographs and syllables of DeepSeek LLM and Coder
  deepseek3_cjk,   // ideographs and kana of DeepSeek V3
};

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool lstrip = false;       // takes white space to its left into the match
  bool rstrip = false;       // ... to its right
  bool single_word = false;  // matches only where no word character touches it
  bool normalized = false;   // its normalized content is looked for in normalized text
};

// What a step looks for: a fixed string, or a regular expression in Oniguruma's Ruby syntax.
struct TextPattern {
  std::string text;
  bool is_regex = false;
};

// The steps that change a text before it is cut, in order.
namespace normalizer {
struct Unicode {
  enum class Form : uint8_t { nfc, nfd, nfkc, nfkd };
  Form form = Form::nfc;
};
struct Lowercase {};  // character by character, without context
struct Strip {        // white space at the ends
  bool left = true;
  bool right = true;
};
struct StripAccents {};  // drops combining marks
struct Replace {         // every match
  TextPattern pattern;
  std::string content;
};
struct Prepend {  // before any text that is not empty
  std::string text;
};
struct ByteLevel {};  // bytes become the characters of byte_alphabet.h
struct Precompiled {
  std::string charsmap;  // SentencePiece's precompiled_charsmap, see charsmap.h
};
struct Bert {
  bool clean_text = true;            // drops controls, white space becomes ' '
  bool handle_chinese_chars = true;  // spaces around ideographs
  bool strip_accents = true;         // NFD, then without nonspacing marks
  bool lowercase = true;
};
struct Nmt {};  // the control and space characters of SentencePiece's nmt rules

using Step = std::variant<Unicode, Lowercase, Strip, StripAccents, Replace, Prepend, ByteLevel,
                          Precompiled, Bert, Nmt>;
}  // namespace normalizer

// What becomes of the matches of a pattern that cuts a text.
enum class SplitBehavior : uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous,  // neighbours become one
};

enum class PrependScheme : uint8_t {
  always,
  first,  // only where the whole text begins
  never,
};

// The steps that cut a text into the words that the model sees, each working on every part that the
// step before left.
namespace pre_tokenizer {
struct ByteLevel {
  bool add_prefix_space = true;  // before a part without one
  bool use_regex = true;         // cuts as Splitter::gpt2 does
};
struct Words {  // one of the hand-made splitters
  Splitter splitter = Splitter::gpt2;
};
struct Metaspace {
  char32_t replacement = U'\u2581';  // of every ' '
  PrependScheme prepend = PrependScheme::always;
  bool split = true;  // before every replacement
};
struct Split {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // what lies between matches is the match
};
struct Whitespace {};       // \w+|[^\w\s]+
struct WhitespaceSplit {};  // at white space, which is dropped
struct Punctuation {
  SplitBehavior behavior = SplitBehavior::isolated;
};
struct Digits {
  bool individual = false;
};
struct Bert {};  // white space dropped, punctuation isolated
struct CharDelimiter {
  char32_t delimiter = U' ';
};
struct UnicodeScripts {};
struct FixedLength {
  size_t chars = 5;
};

using Step = std::variant<ByteLevel, Words, Metaspace, Split, Whitespace, WhitespaceSplit,
                          Punctuation, Digits, Bert, CharDelimiter, UnicodeScripts, FixedLength>;
}  // namespace pre_tokenizer

// The steps that make text of a row of pieces, each working on the row that the step before left.
namespace decoder {
struct ByteLevel {};  // the alphabet of byte_alphabet.h back to bytes; all pieces become one
struct WordPiece {
  std::string prefix = "##";
  bool cleanup = true;  // drops spaces before punctuation and English endings, piece by piece
};
struct Metaspace {
  char32_t replacement = U'\u2581';
  PrependScheme prepend = PrependScheme::always;  // unless never, dropped in the first piece
};
struct ByteFallback {};  // <0xNN> to its byte
struct Fuse {};          // all pieces become one
struct Strip {
  char32_t content = U' ';
  size_t start = 0;  // at most so many from the start of each piece
  size_t stop = 0;   // ... from its end
};
struct Replace {
  TextPattern pattern;
  std::string content;
};
struct Bpe {
  std::string suffix = "</w>";  // becomes a space, in the last piece nothing
};
struct Ctc {
  std::string pad_token = "<pad>";
  std::string word_delimiter_token = "|";
  bool cleanup = true;
};

using Step =
    std::variant<ByteLevel, WordPiece, Metaspace, ByteFallback, Fuse, Strip, Replace, Bpe, Ctc>;
}  // namespace decoder

struct TokenizerSpec {
  enum class Model : uint8_t { bpe, unigram, word_piece, word_level };

  Model model = Model::bpe;
  // Vocabulary pieces by id, as the file spells them (in the byte-level alphabet, U+0120 for a
  // space, where a ByteLevel step makes it); an empty string marks an id without a piece. Only
  // unigram may have a piece twice: its last id counts.
  std::vector<std::string> pieces;

  // bpe: pairs of ids, and what each pair becomes. The pair of lowest rank is merged first, the
  // leftmost of equal ranks. A pair given twice keeps its last line.
  struct Merge {
    int32_t left, right, result;
    uint32_t rank;
  };
  std::vector<Merge> merges;
  bool ignore_merges = false;  // a word that is a piece by itself is taken whole
  // bpe, word_piece: before every piece that does not begin a word. bpe: after one that ends it.
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;

  // unigram: one for each piece.
  std::vector<double> scores;

  // word_piece: longer words are unknown.
  size_t max_word_chars = 100;

  // bpe, unigram: a character without a piece becomes its UTF-8 bytes, the pieces <0x00> ...
  // <0xFF>, if all of them are there.
  bool byte_fallback = false;
  // What is left unknown becomes this piece; nothing: bpe drops it, the others cannot encode the
  // text. With fuse_unknown a run of unknown characters becomes one id (unigram always does so).
  std::optional<int32_t> unknown_piece_id;
  bool fuse_unknown = false;
  // The file names an unknown piece that its vocabulary lacks: a text that needs it is refused.
  bool unknown_is_missing = false;

  std::vector<normalizer::Step> normalizer;
  std::vector<pre_tokenizer::Step> pre_tokenizer;  // none: the whole text is one word
  std::vector<decoder::Step> decoder;              // none: pieces are put together with spaces

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
  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<int64_t> token_types;
  std::vector<std::string_view> merges;  // "left right"
  std::vector<double> scores;
  std::string precompiled_charsmap;
  std::optional<int64_t> bos_id, eos_id, unk_id, pad_id, cls_id, sep_id;
  std::optional<bool> add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
};

// As llama.cpp reads the models "gpt2" and "gemma4" (BPE with merges), "llama" (SentencePiece's
// BPE), "t5" (unigram) and "bert" (word pieces). Control tokens (type 3) are special and user
// defined ones (4) are not; unused ids (5) have no piece. What files do not keep is as in Hugging
// Face by default: no token takes white space with it, "bert" is uncased. unsupported names the
// model or pre-tokenizer that phial does not know; damaged names what contradicts itself.
Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufVocabulary& vocabulary,
                                               std::string_view name);

}  // namespace phial
