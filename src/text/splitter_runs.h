// Splitters that isolate runs of one class of characters, each with a space before it if the
// pattern has one; what lies between two matches is one word.
#pragma once

#include <algorithm>
#include <array>

#include "text/splitter_scan.h"
#include "text/splitter_words.h"

namespace phial::runs {

using char_kind::Char;
using char_kind::char_at;
using char_kind::Mask;

// From `at` to where the next match begins, of a pattern whose matches begin where `begins(at)`.
template <class Begins>
size_t gap_end(std::string_view text, size_t at, Begins begins) {
  do {
    at += char_at(text, at).length;
  } while (at < text.size() && !begins(at));
  return at;
}

// What may stand before a run.
enum class Before {
  nothing,
  space,  // " ?"
  white,  // \s?
};

// The matches of X+, X{1,limit}, " ?X+" or \s?X+, where kIn says whether a character is in X.
template <bool (*kIn)(const Char&), Before kBefore = Before::nothing, size_t kLimit = SIZE_MAX>
size_t runs(std::string_view text, size_t at) {
  const auto in_at = [text](size_t i) { return i < text.size() && kIn(char_at(text, i)); };
  // Where the run begins whose match begins at i; npos when there is none.
  const auto run_begin = [&](size_t i) {
    const Char c = char_at(text, i);
    const bool skips = kBefore == Before::space   ? c.code_point == ' '
                       : kBefore == Before::white ? (c.kind & char_kind::kWhite) != 0
                                                  : false;
    if (skips && in_at(i + c.length)) return i + c.length;
    return kIn(c) ? i : std::string_view::npos;
  };
  const size_t begin = run_begin(at);
  if (begin == std::string_view::npos) {
    return gap_end(text, at, [&](size_t i) { return run_begin(i) != std::string_view::npos; });
  }
  size_t end = begin;
  for (size_t n = 0; n < kLimit && in_at(end); ++n) end += char_at(text, end).length;
  return end;
}

template <Mask kinds>
bool has_kind(const Char& c) {
  return (c.kind & kinds) != 0;
}

// [0-9][0-9][0-9]
inline size_t digits_3(std::string_view text, size_t at) {
  if (words::three_digits_at(text, at)) return at + 3;
  return gap_end(text, at, [text](size_t i) { return words::three_digits_at(text, i); });
}

// [^\n]+|[\n]+
inline size_t lines(std::string_view text, size_t at) {
  const size_t end = text[at] == '\n' ? text.find_first_not_of('\n', at) : text.find('\n', at);
  return std::min(end, text.size());
}

// \s+$, where $ is also before a line feed. A run of white space matches up to the last such place
// in it, from any of its characters before that.
inline size_t trailing_white(std::string_view text, size_t at) {
  // The end of the match that begins at i; i itself: none. `run` becomes the end of the white
  // space.
  const auto match_end = [text](size_t i, size_t& run) {
    size_t end = i;
    for (run = i; run < text.size();) {
      const Char c = char_at(text, run);
      if ((c.kind & char_kind::kWhite) == 0) break;
      if (c.code_point == '\n' && run > i) end = run;
      run += c.length;
    }
    return run == text.size() && run > i ? run : end;
  };
  size_t run = at;
  if (const size_t end = match_end(at, run); end > at) return end;
  // No match begins in a run before its last place, nor behind it.
  for (size_t i = std::max(run, at + char_at(text, at).length); i < text.size();) {
    if (match_end(i, run) > i) return i;
    i = run > i ? run : i + char_at(text, i).length;
  }
  return text.size();
}

// A set of ranges that is written as in a regular expression, without its brackets: "A-Za-zµ".
template <size_t kMax>
struct RangeSet {
  struct Range {
    char32_t first, last;
  };
  std::array<Range, kMax> ranges{};
  size_t size = 0;

  constexpr explicit RangeSet(std::u32string_view written) {
    for (size_t i = 0; i < written.size(); ++i) {
      const bool range = i + 2 < written.size() && written[i + 1] == U'-';
      ranges[size++] = {written[i], written[range ? i + 2 : i]};
      if (range) i += 2;
    }
    std::sort(ranges.begin(), ranges.begin() + size,
              [](const Range& a, const Range& b) { return a.first < b.first; });
  }

  // REQUIRES: no two ranges overlap
  constexpr bool has(char32_t c) const {
    const Range* after =
        std::upper_bound(ranges.data(), ranges.data() + size, c,
                         [](char32_t x, const Range& range) { return x < range.first; });
    return after != ranges.data() && c <= after[-1].last;
  }
};

}  // namespace phial::runs
