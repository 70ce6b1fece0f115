#include "text/splitter.h"

#include <string>

#include "text/splitter_runs.h"
#include "text/splitter_words.h"

namespace phial {
namespace {

using char_kind::Char;
using runs::Before;
using words::Tail;

size_t whole_text(std::string_view text, size_t) { return text.size(); }

// [^(\s|[.,!?…。，、।۔،])]: a set within a set, so the parentheses and the bar stand for
// themselves.
bool is_bloom(const Char& c) {
  constexpr std::u32string_view kLeftOut = U"(|.,!?…。，、।۔،)";
  return (c.kind & char_kind::kWhite) == 0 &&
         kLeftOut.find(c.code_point) == std::u32string_view::npos;
}

bool is_falcon_sign(const Char& c) { return words::is_default_sign(c) || c.code_point == '`'; }

// The letters of Latin, Greek, Cyrillic, Armenian, Georgian ... as DeepSeek LLM lists them.
// (Escaped because some turn into others when an editor normalizes text.)
#define DEEPSEEK_LATIN                                                                       \
  "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-"     \
  "\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1" \
  "\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-"    \
  "\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15"     \
  "\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"      \
  "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB"     \
  "\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D"      \
  "\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183" \
  "\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"      \
  "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-"    \
  "\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB"       \
  "\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
bool is_deepseek_latin(const Char& c) {
  static constexpr runs::RangeSet<128> kSet(U"" DEEPSEEK_LATIN);
  return kSet.has(c.code_point);
}

bool is_deepseek_sign(const Char& c) {
  static constexpr runs::RangeSet<8> kSet(U"!-/:-~！-／：-～‘-‟　-。");
  return kSet.has(c.code_point);
}

bool is_deepseek_cjk(const Char& c) {
  static constexpr runs::RangeSet<4> kSet(U"ࠀ-龥가-퟿");  // the file has 一-龥 and ࠀ-一 apart
  return kSet.has(c.code_point);
}

bool is_deepseek3_cjk(const Char& c) {
  static constexpr runs::RangeSet<4> kSet(U"一-龥぀-ゟ゠-ヿ");
  return kSet.has(c.code_point);
}

// Regular expressions as they stand in tokenizer.json files, and in llama.cpp's table where that
// has other ones of the same meaning. English endings and the branch for white space, which many
// share:
#define ENDINGS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define SPACE R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M})"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M})"
#define BEFORE R"([^\r\n\p{L}\p{N}]?)"

constexpr SplitterPattern kPatterns[] = {
    {Splitter::gpt2,
     R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {Splitter::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {Splitter::llama3, ENDINGS "|" BEFORE R"(\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::qwen2, ENDINGS "|" BEFORE R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::qwen35,
     ENDINGS "|" BEFORE R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::ufakzeka, BEFORE R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::bailing, R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}|)"
                        R"( ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
    {Splitter::minicpm5, ENDINGS "|" BEFORE R"(\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::seed_coder, ENDINGS "|" BEFORE R"(\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)" SPACE},
    {Splitter::exaone_moe, ENDINGS "|" BEFORE R"((?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|)"
                                   R"( ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"},
    {Splitter::o200k, BEFORE UPPER "]*" LOWER "]+" ENDINGS "?|" BEFORE UPPER "]+" LOWER "]*" ENDINGS
                                   R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACE},
    {Splitter::o200k_digits,
     BEFORE UPPER "]*" LOWER "]+" ENDINGS "?|" BEFORE UPPER "]+" LOWER "]*" ENDINGS
                  R"(?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACE},
    {Splitter::tekken, BEFORE UPPER "]*" LOWER "]+|" BEFORE UPPER "]+" LOWER
                                    R"(]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACE},
    {Splitter::kimi_k2,
     R"([\p{Han}]+|)" BEFORE UPPER R"(&&[^\p{Han}]]*)" LOWER R"(&&[^\p{Han}]]+)" ENDINGS
     "?|" BEFORE UPPER R"(&&[^\p{Han}]]+)" LOWER R"(&&[^\p{Han}]]*)" ENDINGS
     R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACE},
    {Splitter::deepseek3, R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
                          R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" SPACE},
    {Splitter::bloom, R"( ?[^(\s|[.,!?…。，、।۔،])]+)"},
    {Splitter::bloom, R"( ?[^(\s|.,!?…。，、।۔،)]+)"},
    {Splitter::number, R"(\p{N})"},
    {Splitter::numbers, R"(\p{N}+)"},
    {Splitter::numbers_3, R"(\p{N}{1,3})"},
    {Splitter::digits_3, "[0-9][0-9][0-9]"},
    {Splitter::line_break, R"([\r\n])"},
    {Splitter::lines, R"([^\n]+|[\n]+)"},
    {Splitter::not_white, R"(\S+)"},
    {Splitter::trailing_white, R"(\s+$)"},
    {Splitter::letters, R"(\s?\p{L}+)"},
    {Splitter::punctuation, R"(\s?\p{P}+)"},
    {Splitter::falcon_signs, R"([\p{P}\$\+<=>\^~\|`]+)"},
    {Splitter::default_signs, R"([\p{P}\$\+<=>\^~\|]+)"},
    {Splitter::deepseek_latin, R"(\s?[)" DEEPSEEK_LATIN "]+"},
    {Splitter::deepseek_signs, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)"},
    {Splitter::deepseek_cjk, "[一-龥ࠀ-一가-퟿]+"},
    {Splitter::deepseek3_cjk, "[一-龥぀-ゟ゠-ヿ]+"},
};

#undef ENDINGS
#undef SPACE
#undef UPPER
#undef LOWER
#undef BEFORE
#undef DEEPSEEK_LATIN

}  // namespace

WordEnd word_end_function(Splitter splitter) {
  using words::Around;
  using words::Gpt4o;
  using words::Llama;
  switch (splitter) {
    case Splitter::none:
      return whole_text;
    case Splitter::gpt2:
      return words::gpt2<Around::nothing>;
    case Splitter::smollm:
      return words::gpt2<Around::digits_first>;
    case Splitter::llamacpp_default:
      return words::gpt2<Around::llamacpp_default>;
    case Splitter::llama3:
      return words::llama<Llama{}>;
    case Splitter::qwen2:
    case Splitter::bailing:
      return words::llama<Llama{.max_numbers = 1}>;
    case Splitter::qwen35:
      return words::llama<Llama{.max_numbers = 1, .marks = char_kind::kMark}>;
    case Splitter::ufakzeka:
      return words::llama<Llama{.endings = false, .max_numbers = 1}>;
    case Splitter::minicpm5:
      return words::llama<Llama{.max_numbers = SIZE_MAX}>;
    case Splitter::seed_coder:
      return words::llama<Llama{.max_numbers = 1, .tail = Tail::nothing}>;
    case Splitter::exaone_moe:
      return words::llama<Llama{.max_numbers = 1, .tail = Tail::one, .spaced_words = true}>;
    case Splitter::o200k:
      return words::gpt4o<Gpt4o{}>;
    case Splitter::o200k_digits:
      return words::gpt4o<Gpt4o{.max_numbers = 1}>;
    case Splitter::tekken:
      return words::gpt4o<Gpt4o{.endings = false, .max_numbers = 1}>;
    case Splitter::kimi_k2:
      return words::gpt4o<Gpt4o{.tail = Tail::line_breaks, .han_apart = true}>;
    case Splitter::deepseek3:
      return words::deepseek3;
    case Splitter::bloom:
      return runs::runs<is_bloom, Before::space>;
    case Splitter::number:
      return runs::runs<runs::has_kind<char_kind::kNumber>, Before::nothing, 1>;
    case Splitter::numbers:
      return runs::runs<runs::has_kind<char_kind::kNumber>>;
    case Splitter::numbers_3:
      return runs::runs<runs::has_kind<char_kind::kNumber>, Before::nothing, 3>;
    case Splitter::digits_3:
      return runs::digits_3;
    case Splitter::line_break:
      return runs::runs<runs::has_kind<char_kind::kLineBreak>, Before::nothing, 1>;
    case Splitter::lines:
      return runs::lines;
    case Splitter::not_white:
      return runs::runs<runs::has_kind<char_kind::kAll & ~char_kind::kWhite>>;
    case Splitter::trailing_white:
      return runs::trailing_white;
    case Splitter::letters:
      return runs::runs<runs::has_kind<char_kind::kLetter>, Before::white>;
    case Splitter::punctuation:
      return runs::runs<runs::has_kind<char_kind::kPunctuation>, Before::white>;
    case Splitter::falcon_signs:
      return runs::runs<is_falcon_sign>;
    case Splitter::default_signs:
      return runs::runs<words::is_default_sign>;
    case Splitter::deepseek_latin:
      return runs::runs<is_deepseek_latin, Before::white>;
    case Splitter::deepseek_signs:
      return runs::runs<is_deepseek_sign, Before::white>;
    case Splitter::deepseek_cjk:
      return runs::runs<is_deepseek_cjk>;
    case Splitter::deepseek3_cjk:
      return runs::runs<is_deepseek3_cjk>;
  }
  return whole_text;
}

bool matches_everywhere(Splitter splitter) {
  return splitter < Splitter::deepseek3 || splitter == Splitter::lines;
}

std::optional<Splitter> splitter_of_pattern(std::string_view regex) {
  std::string escaped;
  for (const char c : regex) {
    if (c == '\r') {
      escaped += "\\r";
    } else if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  for (const SplitterPattern& pattern : kPatterns) {
    if (pattern.regex == escaped) return pattern.splitter;
  }
  return std::nullopt;
}

std::optional<Splitter> splitter_of_split(const pre_tokenizer::Split& split) {
  // Where a pattern matches everywhere, keeping only matches is the same as isolating.
  const bool keeps_matches = split.invert && split.behavior == SplitBehavior::removed;
  const bool isolates = split.behavior == SplitBehavior::isolated;
  if (!split.pattern.is_regex || !(isolates || keeps_matches)) return std::nullopt;
  const auto known = splitter_of_pattern(split.pattern.text);
  if (known && !isolates && !matches_everywhere(*known)) return std::nullopt;
  return known;
}

std::span<const SplitterPattern> splitter_patterns() { return kPatterns; }

}  // namespace phial
