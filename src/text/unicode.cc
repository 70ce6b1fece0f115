#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace phial::unicode {
namespace {

// The sets of scripts/make_unicode_table.py, in its order.
enum Bits : uint8_t {
  kSpace = 1 << 0,
  kWord = 1 << 1,
  kNumeric = 1 << 2,
  kBertPunctuation = 1 << 3,
  kBertDropped = 1 << 4,
  kNonspacingMark = 1 << 5,
  kCombiningMark = 1 << 6,
  kNewToNormalForms = 1 << 7,
};

struct Run {
  uint32_t first;
  uint8_t bits;
  uint8_t script;
};

constexpr Run kRuns[] = {
#include "text/unicode_table.inc"
};
static_assert(kRuns[0].first == 0);

// By c >> 8: the last run that begins at or before c & ~0xFF.
constexpr size_t kPages = 0x110000 >> 8;
constexpr std::array<uint16_t, kPages + 1> kRunOfPage = [] {
  std::array<uint16_t, kPages + 1> table{};
  size_t run = 0;
  for (size_t page = 0; page <= kPages; ++page) {
    while (run + 1 < std::size(kRuns) && kRuns[run + 1].first <= page << 8) ++run;
    table[page] = static_cast<uint16_t>(run);
  }
  return table;
}();

// REQUIRES: c <= U+10FFFF
const Run& run_of(char32_t c) {
  const Run* begin = kRuns + kRunOfPage[c >> 8];
  const Run* end = kRuns + kRunOfPage[(c >> 8) + 1] + 1;
  return *(std::upper_bound(begin, end, c,
                            [](char32_t value, const Run& run) { return value < run.first; }) -
           1);
}

bool has(char32_t c, Bits bits) { return (run_of(c).bits & bits) != 0; }

}  // namespace

bool is_wide_space(char32_t c) { return has(c, kSpace); }
bool is_word(char32_t c) { return has(c, kWord); }
bool is_numeric(char32_t c) { return has(c, kNumeric); }
bool is_bert_punctuation(char32_t c) { return has(c, kBertPunctuation); }
bool is_bert_dropped(char32_t c) { return has(c, kBertDropped); }
bool is_nonspacing_mark(char32_t c) { return has(c, kNonspacingMark); }
bool is_combining_mark(char32_t c) { return has(c, kCombiningMark); }
bool is_new_to_normal_forms(char32_t c) { return has(c, kNewToNormalForms); }
uint8_t script(char32_t c) { return run_of(c).script; }

void append_lowercase(std::string& out, char32_t c) {
  // Letters that got their case after utf8proc's Unicode 15, and those that have since.
  struct Range {
    char32_t first, last;
    int32_t to_lower;
    char32_t step;
  };
  static constexpr Range kNewer[] = {
      {0x1C89, 0x1C89, 1, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB, 1},
      {0xA7CC, 0xA7CE, 1, 2},      {0xA7D2, 0xA7D4, 1, 2},
      {0xA7DA, 0xA7DA, 1, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC, 1},
      {0x10D50, 0x10D65, 0x20, 1}, {0x16EA0, 0x16EB8, 0x1B, 1},
  };
  if (c < 128) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130) {
    out += "i\u0307";
    return;
  }
  for (const Range& range : kNewer) {
    if (c < range.first || c > range.last || (c - range.first) % range.step != 0) continue;
    utf8::append(out, static_cast<char32_t>(static_cast<int32_t>(c) + range.to_lower));
    return;
  }
  utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

Char char_before(std::string_view text, size_t end) {
  return char_at(text, utf8::floor_boundary(text, end - 1));
}

}  // namespace phial::unicode
