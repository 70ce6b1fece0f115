#include "text/splitter.h"

#include "text/unicode.h"

namespace phial {
namespace {

using unicode::char_at;
using unicode::char_class;
using unicode::CharClass;
using Char = unicode::Char;

constexpr size_t kNone = 0;  // no word ends at 0

// The end of the run of characters at `at` for which `keep` holds.
template <class Keep>
size_t run_end(std::string_view text, size_t at, Keep keep) {
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (!keep(c)) break;
    at += c.length;
  }
  return at;
}

size_t class_run_end(std::string_view text, size_t at, CharClass kind) {
  return run_end(text, at, [kind](const Char& c) { return c.kind == kind; });
}

// 's|'t|'re|'ve|'m|'ll|'d behind the apostrophe at `at`; kNone when there is no such ending.
size_t contraction_end(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at + 1);
  if (rest.empty()) return kNone;
  switch (rest[0]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return at + 2;
    case 'r':
    case 'v':
      return rest.substr(1, 1) == "e" ? at + 3 : kNone;
    case 'l':
      return rest.substr(1, 1) == "l" ? at + 3 : kNone;
    default:
      return kNone;
  }
}

// The same under (?i: ): ASCII letters of either case, and U+017F, whose case folding is "s".
size_t contraction_end_any_case(std::string_view text, size_t at) {
  constexpr std::string_view kLongS = "\u017F";
  const std::string_view rest = text.substr(at + 1);
  if (rest.starts_with(kLongS)) return at + 1 + kLongS.size();
  const auto lower = [rest](size_t i) {
    if (i >= rest.size()) return '\0';
    return rest[i] >= 'A' && rest[i] <= 'Z' ? static_cast<char>(rest[i] + ('a' - 'A')) : rest[i];
  };
  const char folded[] = {'\'', lower(0), lower(1)};
  const size_t end = contraction_end({folded, 3}, 0);
  return end == kNone ? kNone : at + end;
}

// \s+(?!\S)|\s+ for white space from `at` to `end`, with `last` the length of its last character:
// all of it when nothing follows, else all but the last character, else that alone.
size_t space_word_end(size_t at, size_t end, size_t last, bool something_follows) {
  return something_follows && end - at > last ? end - last : end;
}

struct SpaceRun {
  size_t end;
  size_t last;      // bytes of its last character
  size_t line_end;  // behind its last \r or \n; kNone when there is none
};

SpaceRun space_run(std::string_view text, size_t at) {
  SpaceRun run{at, 0, kNone};
  while (run.end < text.size()) {
    const Char c = char_at(text, run.end);
    if (c.kind != CharClass::space) break;
    run.end += c.length;
    run.last = c.length;
    if (c.code_point == '\n' || c.code_point == '\r') run.line_end = run.end;
  }
  return run;
}

// How the gpt2 pattern is changed by the splits that run before and after it.
enum class Around {
  nothing,
  digits_first,     // every \p{N} was isolated before: smollm
  llamacpp_default  // runs of punctuation were isolated before, numbers are cut after
};

// The class [\p{P}\$\+<=>\^~\|]
bool is_default_punctuation(const Char& c) {
  if (c.kind != CharClass::other) return false;
  switch (c.code_point) {
    case '$':
    case '+':
    case '<':
    case '=':
    case '>':
    case '^':
    case '~':
    case '|':
      return true;
    default:
      return unicode::is_punctuation(c.code_point);
  }
}

bool three_digits_at(std::string_view text, size_t at) {
  if (text.size() - at < 3) return false;
  for (size_t i = 0; i < 3; ++i) {
    if (text[at + i] < '0' || text[at + i] > '9') return false;
  }
  return true;
}

// \p{N}+ and then [0-9][0-9][0-9]: three digits, or what lies before the next three.
size_t default_number_end(std::string_view text, size_t at) {
  if (three_digits_at(text, at)) return at + 3;
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (c.kind != CharClass::number || three_digits_at(text, at)) break;
    at += c.length;
  }
  return at;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// What an earlier split cut off is, for this pattern, the end of the text.
template <Around around>
size_t gpt2_word_end(std::string_view text, size_t at) {
  const auto cut_off = [](const Char& c) {
    if constexpr (around == Around::digits_first) return c.kind == CharClass::number;
    if constexpr (around == Around::llamacpp_default) return is_default_punctuation(c);
    return false;
  };
  const Char first = char_at(text, at);
  if (cut_off(first)) {
    if constexpr (around == Around::digits_first) return at + first.length;
    return run_end(text, at, is_default_punctuation);
  }
  if (first.code_point == '\'') {
    if (const size_t end = contraction_end(text, at); end != kNone) return end;
  }
  size_t word = at;
  Char c = first;
  if (first.code_point == ' ' && at + 1 < text.size()) {
    const Char second = char_at(text, at + 1);
    if (second.kind != CharClass::space && !cut_off(second)) {
      word = at + 1;
      c = second;
    }
  }
  switch (c.kind) {
    case CharClass::space: {
      const SpaceRun run = space_run(text, at);
      const bool something_follows = run.end < text.size() && !cut_off(char_at(text, run.end));
      return space_word_end(at, run.end, run.last, something_follows);
    }
    case CharClass::number:
      if constexpr (around == Around::llamacpp_default) {
        return word > at ? word : default_number_end(text, word);
      }
      return class_run_end(text, word, CharClass::number);
    case CharClass::letter:
      return class_run_end(text, word, CharClass::letter);
    case CharClass::other:
      break;
  }
  return run_end(text, word,
                 [&](const Char& x) { return x.kind == CharClass::other && !cut_off(x); });
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t llama3_word_end(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  if (first.code_point == '\'') {
    if (const size_t end = contraction_end_any_case(text, at); end != kNone) return end;
  }
  if (first.kind == CharClass::letter) return class_run_end(text, at, CharClass::letter);
  if (first.kind == CharClass::number) {
    size_t end = at;
    for (int n = 0; n < 3 && end < text.size(); ++n) {
      const Char c = char_at(text, end);
      if (c.kind != CharClass::number) break;
      end += c.length;
    }
    return end;
  }
  const size_t next = at + first.length;
  const bool line_break = first.code_point == '\n' || first.code_point == '\r';
  const CharClass next_kind =
      next < text.size() ? char_at(text, next).kind : CharClass::space;  // as good as the end
  if (!line_break && next_kind == CharClass::letter) {
    return class_run_end(text, next, CharClass::letter);
  }
  const bool space_before_other = first.code_point == ' ' && next_kind == CharClass::other;
  if (first.kind == CharClass::other || space_before_other) {
    const size_t end = class_run_end(text, next, CharClass::other);
    return run_end(text, end,
                   [](const Char& c) { return c.code_point == '\n' || c.code_point == '\r'; });
  }
  const SpaceRun run = space_run(text, at);
  if (run.line_end != kNone) return run.line_end;
  return space_word_end(at, run.end, run.last, run.end < text.size());
}

size_t whole_text(std::string_view text, size_t) { return text.size(); }

struct Pattern {
  std::string_view regex;
  Splitter splitter;
};

constexpr Pattern kPatterns[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     Splitter::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Splitter::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Splitter::llama3},
};

}  // namespace

WordEnd word_end_function(Splitter splitter) {
  switch (splitter) {
    case Splitter::none:
      return whole_text;
    case Splitter::gpt2:
      return gpt2_word_end<Around::nothing>;
    case Splitter::smollm:
      return gpt2_word_end<Around::digits_first>;
    case Splitter::llama3:
      return llama3_word_end;
    case Splitter::llamacpp_default:
      return gpt2_word_end<Around::llamacpp_default>;
  }
  return whole_text;
}

std::optional<Splitter> splitter_of_pattern(std::string_view regex) {
  for (const Pattern& pattern : kPatterns) {
    if (pattern.regex == regex) return pattern.splitter;
  }
  return std::nullopt;
}

}  // namespace phial
