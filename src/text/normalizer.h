// The steps that change a text before it is cut: `normalizers` of Hugging Face `tokenizers`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/charsmap.h"
#include "text/text_pattern.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Most steps of a normalizer, a pre-tokenizer or a decoder.
inline constexpr size_t kMaxPipelineSteps = 256;

// How much normalization may make of a text: many times what normal forms do (11 times for
// U+FDFA), a limit for replacements that grow without end.
inline constexpr size_t kMaxNormalGrowth = 64;
inline constexpr size_t kMaxNormalExtraBytes = size_t{1} << 20;

// A text on its way through the steps.
struct NormalText {
  std::string text;
  // Leading bytes that were made from the first character of the input; none when it was dropped.
  // (Metaspace's scheme `first` asks whether a part begins at the begin of the original.)
  size_t origin_bytes = 0;
};

// Immutable; safe to use from several threads at once.
class Normalizer {
 public:
  Normalizer() = default;
  // Errors are those of CompiledPattern and Charsmap; over_limit: more than kMaxPipelineSteps.
  static Result<Normalizer> create(const std::vector<normalizer::Step>& steps);

  bool empty() const { return steps_.empty(); }

  // `text` after all steps; what it makes is taken from `bytes_left`, over_limit when that is not
  // enough. REQUIRES: text is UTF-8
  Result<NormalText> apply(std::string_view text, size_t& bytes_left) const;

 private:
  struct Replace {
    CompiledPattern pattern;
    std::string content;
  };
  using Step = std::variant<normalizer::Unicode, normalizer::Lowercase, normalizer::Strip,
                            normalizer::StripAccents, Replace, normalizer::Prepend,
                            normalizer::ByteLevel, Charsmap, normalizer::Bert, normalizer::Nmt>;
  class Run;

  std::vector<Step> steps_;
};

}  // namespace phial
