// The steps that cut a text into the words that a model sees: `pre_tokenizers` of Hugging Face
// `tokenizers`.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/splitter.h"
#include "text/text_pattern.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Immutable; safe to use from several threads at once.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  // With `keeps_bytes` a ByteLevel step cuts, but leaves the bytes as they are: for a model that
  // reads bytes. Errors are those of CompiledPattern; damaged: a fixed length of 0; over_limit:
  // more than kMaxPipelineSteps.
  static Result<PreTokenizer> create(const std::vector<pre_tokenizer::Step>& steps,
                                     bool keeps_bytes);

  // A part of the text; never empty.
  struct Part {
    std::string_view text;
    size_t origin_bytes;  // as in NormalText
  };
  // Memory of one encoding. Parts point into the text or into `texts`.
  struct Scratch {
    std::vector<Part> parts;
    std::vector<Part> next;
    std::list<std::string> texts;
  };

  // Leaves the words of `text` in scratch.parts. over_limit: a regular expression gives up, or the
  // steps make more than `bytes_left`, from which they take what they make.
  // REQUIRES: text is UTF-8
  Status split(std::string_view text, size_t origin_bytes, size_t& bytes_left,
               Scratch& scratch) const;

  // The cuts that alone do what the steps do, each within the parts that the one before left; with
  // or without a space put before the text. Nothing when the steps do more than that.
  const std::optional<std::vector<WordEnd>>& only_cuts() const { return only_cuts_; }
  bool only_cuts_after_space() const { return only_cuts_after_space_; }

 private:
  struct Split {
    CompiledPattern pattern;
    SplitBehavior behavior;
    bool invert;
  };
  struct Words {
    WordEnd end;
  };
  struct PrefixSpace {};
  struct ByteAlphabet {};
  using Step = std::variant<PrefixSpace, Words, ByteAlphabet, Split, pre_tokenizer::Metaspace,
                            pre_tokenizer::Whitespace, pre_tokenizer::WhitespaceSplit,
                            pre_tokenizer::Punctuation, pre_tokenizer::Digits, pre_tokenizer::Bert,
                            pre_tokenizer::CharDelimiter, pre_tokenizer::UnicodeScripts,
                            pre_tokenizer::FixedLength>;
  class Run;

  Status add_step(const pre_tokenizer::Step& step, bool keeps_bytes);
  Status add_split(const pre_tokenizer::Split& split);
  void find_only_cuts();

  std::vector<Step> steps_;
  std::optional<std::vector<WordEnd>> only_cuts_;
  bool only_cuts_after_space_ = false;
};

}  // namespace phial
