// Splitters whose words cover the whole text: the families of GPT-2, Llama 3, GPT-4o and DeepSeek
// V3. A family is one function template; its argument says where a model differs.
#pragma once

#include "text/splitter_scan.h"
#include "text/unicode.h"

namespace phial::words {

using char_kind::Char;
using char_kind::char_at;
using char_kind::is_han;
using char_kind::kAll;
using char_kind::kLetter;
using char_kind::kLineBreak;
using char_kind::kLower;
using char_kind::kMark;
using char_kind::kNumber;
using char_kind::kOtherLetter;
using char_kind::kPunctuation;
using char_kind::kSymbol;
using char_kind::kUpper;
using char_kind::kWhite;
using char_kind::Mask;
using scan::kNone;

// The class [\p{P}\$\+<=>\^~\|]
inline bool is_default_sign(const Char& c) {
  if (c.kind == kPunctuation) return true;
  return c.kind == kSymbol && c.code_point < 128 && c.code_point != '`';
}

// How the gpt2 pattern is changed by the splits that run before and after it.
enum class Around {
  nothing,
  digits_first,     // every \p{N} was isolated before: smollm
  llamacpp_default  // runs of signs were isolated before, numbers are cut after
};

inline bool three_digits_at(std::string_view text, size_t at) {
  if (text.size() - at < 3) return false;
  for (size_t i = 0; i < 3; ++i) {
    if (text[at + i] < '0' || text[at + i] > '9') return false;
  }
  return true;
}

// \p{N}+ and then [0-9][0-9][0-9]: three digits, or what lies before the next three.
inline size_t default_number_end(std::string_view text, size_t at) {
  if (three_digits_at(text, at)) return at + 3;
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (c.kind != kNumber || three_digits_at(text, at)) break;
    at += c.length;
  }
  return at;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// What an earlier split cut off is, for this pattern, the end of the text.
template <Around around>
size_t gpt2(std::string_view text, size_t at) {
  const auto cut_off = [](const Char& c) {
    if constexpr (around == Around::digits_first) {
      // The digits that Rust knows, whose Unicode is newer than the expression's.
      return c.kind == kNumber || (c.kind == char_kind::kRest && unicode::is_numeric(c.code_point));
    }
    if constexpr (around == Around::llamacpp_default) return is_default_sign(c);
    return false;
  };
  constexpr Mask kOther = kAll & ~(kWhite | kLetter | kNumber);
  const Char first = char_at(text, at);
  if (cut_off(first)) {
    if constexpr (around == Around::digits_first) return at + first.length;
    return scan::run_end(text, at, is_default_sign);
  }
  if (first.code_point == '\'') {
    if (const size_t end = scan::contraction_end(text, at); end != kNone) return end;
  }
  size_t word = at;
  Char c = first;
  if (first.code_point == ' ' && at + 1 < text.size()) {
    const Char second = char_at(text, at + 1);
    if ((second.kind & kWhite) == 0 && !cut_off(second)) {
      word = at + 1;
      c = second;
    }
  }
  const size_t next = word + c.length;
  if (c.kind & kLetter) return scan::kind_end(text, next, kLetter);
  if (c.kind & kWhite) {
    const scan::SpaceRun run = scan::space_run(text, at);
    const bool something_follows = run.end < text.size() && !cut_off(char_at(text, run.end));
    return scan::space_word_end(at, run, something_follows);
  }
  if (c.kind == kNumber) {
    if constexpr (around == Around::llamacpp_default) {
      return word > at ? word : default_number_end(text, word);
    }
    return scan::kind_end(text, next, kNumber);
  }
  if constexpr (around == Around::nothing) return scan::kind_end(text, next, kOther);
  return scan::run_end(text, next, [&](const Char& x) { return (x.kind & kOther) && !cut_off(x); });
}

// What a run of signs takes from what follows it.
enum class Tail {
  nothing,
  line_breaks,             // [\r\n]*
  line_breaks_or_slashes,  // [\r\n/]*
  one,                     // [\r\n/]?
};

template <Tail tail>
size_t tail_end(std::string_view text, size_t at) {
  const auto slash_or_break = [](const Char& c) {
    return c.code_point == '/' || scan::is_line_break(c);
  };
  if constexpr (tail == Tail::line_breaks) return scan::kind_end(text, at, kLineBreak);
  if constexpr (tail == Tail::line_breaks_or_slashes) {
    return scan::run_end(text, at, slash_or_break);
  }
  if constexpr (tail == Tail::one) {
    return at < text.size() && slash_or_break(char_at(text, at)) ? at + 1 : at;
  }
  return at;
}

struct Llama {
  bool endings = true;     // (?i:'s|'t|'re|'ve|'m|'ll|'d) first
  size_t max_numbers = 3;  // \p{N}{1,3}
  Mask marks = 0;          // kMark: they are letters
  Tail tail = Tail::line_breaks;
  bool spaced_words = false;  // \p{L}\p{M}*(?: \p{L}\p{M}*)* instead of \p{L}+
};

// (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ behind its first letter
inline size_t spaced_words_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    at = scan::kind_end(text, at, kLetter | kMark);
    const bool goes_on =
        at + 1 < text.size() && text[at] == ' ' && (scan::kind_at(text, at + 1) & kLetter);
    if (!goes_on) break;
    ++at;
  }
  return at;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <Llama p>
size_t llama(std::string_view text, size_t at) {
  constexpr Mask kWord = kLetter | p.marks;
  constexpr Mask kOther = kAll & ~(kWhite | kWord | kNumber);
  const auto word_end = [text](size_t from) {
    if constexpr (p.spaced_words) return spaced_words_end(text, from);
    return scan::kind_end(text, from, kWord);
  };
  const Char first = char_at(text, at);
  const size_t next = at + first.length;
  if (first.kind & kWord) return word_end(next);
  if (p.endings && first.code_point == '\'') {
    if (const size_t end = scan::contraction_end_any_case(text, at); end != kNone) return end;
  }
  if (first.kind == kNumber) return scan::kind_end(text, next, kNumber, p.max_numbers - 1);
  const Mask next_kind = scan::kind_at(text, next);
  if ((next_kind & kWord) && first.kind != kLineBreak) return word_end(next);
  if ((first.kind & kOther) || (first.code_point == ' ' && (next_kind & kOther))) {
    return tail_end<p.tail>(text, scan::kind_end(text, next, kOther));
  }
  return scan::lines_or_space_end(text, at);
}

struct Gpt4o {
  bool endings = true;     // (?i:'s|'t|'re|'ve|'m|'ll|'d)? behind words
  size_t max_numbers = 3;  // \p{N}{1,3}
  Tail tail = Tail::line_breaks_or_slashes;
  bool han_apart = false;  // \p{Han}+ first, and no Han in the classes of words
};

// What U*L+ and U+L* match, with U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and
// L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]. The classes share all but upper and lower case: a run of U gives
// back what follows its last shared character, unless a lower case letter comes next.
struct CasedWord {
  size_t mixed_end;  // of U*L+; where it began when that does not match
  size_t upper_end;  // of U+L* where U*L+ does not match
};

template <Gpt4o p>
CasedWord cased_word(std::string_view text, size_t at) {
  constexpr Mask kShared = kOtherLetter | kMark;
  size_t end = at;
  size_t shared_end = at;  // behind the last shared character
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (p.han_apart && is_han(c.code_point)) break;
    if (c.kind == kLower) {
      end = scan::run_end(text, end, [](const Char& x) {
        return (x.kind & (kLower | kShared)) && !(p.han_apart && is_han(x.code_point));
      });
      return {end, end};
    }
    if ((c.kind & (kUpper | kShared)) == 0) break;
    end += c.length;
    if (c.kind & kShared) shared_end = end;
  }
  return {shared_end, end};
}

// The end of the word at `at`, with the character before it; `at` itself when there is none.
template <Gpt4o p>
size_t gpt4o_letters_end(std::string_view text, size_t at, const Char& first) {
  if ((first.kind & (kLineBreak | kNumber)) != 0) return at;
  if (first.kind & kLetter) {
    const CasedWord word = cased_word<p>(text, at);
    return word.mixed_end > at ? word.mixed_end : word.upper_end;
  }
  const size_t next = at + first.length;
  const CasedWord word = cased_word<p>(text, next);
  if (word.mixed_end > next) return word.mixed_end;
  // A mark is a word by itself before it stands before one of upper case.
  if (first.kind == kMark && !(p.han_apart && is_han(first.code_point))) return next;
  return word.upper_end > next ? word.upper_end : at;
}

// [^\r\n\p{L}\p{N}]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
// [^\r\n\p{L}\p{N}]?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
// \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <Gpt4o p>
size_t gpt4o(std::string_view text, size_t at) {
  constexpr Mask kOther = kAll & ~(kWhite | kLetter | kNumber);
  const Char first = char_at(text, at);
  if (p.han_apart && is_han(first.code_point)) {
    return scan::run_end(text, at, [](const Char& c) { return is_han(c.code_point); });
  }
  const size_t next = at + first.length;
  const size_t end = gpt4o_letters_end<p>(text, at, first);
  if (end > at) {
    if (p.endings && end < text.size() && text[end] == '\'') {
      if (const size_t more = scan::contraction_end_any_case(text, end); more != kNone) return more;
    }
    return end;
  }
  if (first.kind == kNumber) return scan::kind_end(text, next, kNumber, p.max_numbers - 1);
  if ((first.kind & kOther) || (first.code_point == ' ' && (scan::kind_at(text, next) & kOther))) {
    return tail_end<p.tail>(text, scan::kind_end(text, next, kOther));
  }
  return scan::lines_or_space_end(text, at);
}

inline bool is_ascii_letter(const Char& c) { return c.code_point < 128 && (c.kind & kLetter); }

// [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
//  ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// Numbers and what is in no class match as the character before a word only.
inline size_t deepseek3(std::string_view text, size_t at) {
  constexpr Mask kWord = kLetter | kMark;
  constexpr Mask kSign = kPunctuation | kSymbol;
  constexpr Mask kLoose = kAll & ~(kWord | kSign | kWhite);
  const Char first = char_at(text, at);
  size_t next = at + first.length;
  const Mask next_kind = scan::kind_at(text, next);
  if (first.kind & kWord) return scan::kind_end(text, next, kWord);
  if (first.kind & kSign) {
    if (first.code_point < 128) {
      const size_t end = scan::run_end(text, next, is_ascii_letter);
      if (end > next) return end;
    }
    return scan::kind_end(text, scan::kind_end(text, next, kSign), kLineBreak);
  }
  if ((next_kind & kWord) && first.kind != kLineBreak) return scan::kind_end(text, next, kWord);
  if (first.code_point == ' ' && (next_kind & kSign)) {
    return scan::kind_end(text, scan::kind_end(text, next, kSign), kLineBreak);
  }
  if (first.kind & kWhite) return scan::lines_or_space_end(text, at);
  while (next < text.size()) {  // up to where something matches
    const Char c = char_at(text, next);
    if ((c.kind & kLoose) == 0 || (scan::kind_at(text, next + c.length) & kWord)) break;
    next += c.length;
  }
  return next;
}

}  // namespace phial::words
