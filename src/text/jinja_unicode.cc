#include "text/jinja_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "base/utf8.h"

namespace phial::jinja {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

template <size_t N>
bool in_ranges(const Range (&ranges)[N], char32_t c) {
  const Range* after = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                        [](char32_t x, const Range& r) { return x < r.first; });
  return after != std::begin(ranges) && c <= (after - 1)->last;
}

// Numeric_Type=Digit without the decimal digits (UnicodeData.txt).
constexpr Range kOtherDigits[] = {
    {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
    {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
    {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
    {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
    {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
};
// Other_Lowercase and Other_Uppercase (PropList.txt).
constexpr Range kOtherLower[] = {
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},
    {0x2E0, 0x2E4},     {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},
    {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
    {0x2090, 0x209C},   {0x2170, 0x217F},   {0x24D0, 0x24E9},   {0x2C7C, 0x2C7D},
    {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},   {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
};
constexpr Range kOtherUpper[] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};

// Characters whose upper case is longer than one character (SpecialCasing.txt, unconditional);
// the title case is given where it is longer, too.
struct SpecialCase {
  char32_t code;
  const char* upper;
  const char* title;
};
constexpr SpecialCase kSpecialCases[] = {
    {0xDF, "SS", "Ss"},
    {0x149, "\u02bcN", "\u02bcN"},
    {0x1F0, "J\u030c", "J\u030c"},
    {0x390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x3B0, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301"},
    {0x587, "\u0535\u0552", "\u0535\u0582"},
    {0x1E96, "H\u0331", "H\u0331"},
    {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030a", "W\u030a"},
    {0x1E99, "Y\u030a", "Y\u030a"},
    {0x1E9A, "A\u02be", "A\u02be"},
    {0x1F50, "\u03a5\u0313", "\u03a5\u0313"},
    {0x1F52, "\u03a5\u0313\u0300", "\u03a5\u0313\u0300"},
    {0x1F54, "\u03a5\u0313\u0301", "\u03a5\u0313\u0301"},
    {0x1F56, "\u03a5\u0313\u0342", "\u03a5\u0313\u0342"},
    {0x1F80, "\u1f08\u0399", nullptr},
    {0x1F81, "\u1f09\u0399", nullptr},
    {0x1F82, "\u1f0a\u0399", nullptr},
    {0x1F83, "\u1f0b\u0399", nullptr},
    {0x1F84, "\u1f0c\u0399", nullptr},
    {0x1F85, "\u1f0d\u0399", nullptr},
    {0x1F86, "\u1f0e\u0399", nullptr},
    {0x1F87, "\u1f0f\u0399", nullptr},
    {0x1F88, "\u1f08\u0399", nullptr},
    {0x1F89, "\u1f09\u0399", nullptr},
    {0x1F8A, "\u1f0a\u0399", nullptr},
    {0x1F8B, "\u1f0b\u0399", nullptr},
    {0x1F8C, "\u1f0c\u0399", nullptr},
    {0x1F8D, "\u1f0d\u0399", nullptr},
    {0x1F8E, "\u1f0e\u0399", nullptr},
    {0x1F8F, "\u1f0f\u0399", nullptr},
    {0x1F90, "\u1f28\u0399", nullptr},
    {0x1F91, "\u1f29\u0399", nullptr},
    {0x1F92, "\u1f2a\u0399", nullptr},
    {0x1F93, "\u1f2b\u0399", nullptr},
    {0x1F94, "\u1f2c\u0399", nullptr},
    {0x1F95, "\u1f2d\u0399", nullptr},
    {0x1F96, "\u1f2e\u0399", nullptr},
    {0x1F97, "\u1f2f\u0399", nullptr},
    {0x1F98, "\u1f28\u0399", nullptr},
    {0x1F99, "\u1f29\u0399", nullptr},
    {0x1F9A, "\u1f2a\u0399", nullptr},
    {0x1F9B, "\u1f2b\u0399", nullptr},
    {0x1F9C, "\u1f2c\u0399", nullptr},
    {0x1F9D, "\u1f2d\u0399", nullptr},
    {0x1F9E, "\u1f2e\u0399", nullptr},
    {0x1F9F, "\u1f2f\u0399", nullptr},
    {0x1FA0, "\u1f68\u0399", nullptr},
    {0x1FA1, "\u1f69\u0399", nullptr},
    {0x1FA2, "\u1f6a\u0399", nullptr},
    {0x1FA3, "\u1f6b\u0399", nullptr},
    {0x1FA4, "\u1f6c\u0399", nullptr},
    {0x1FA5, "\u1f6d\u0399", nullptr},
    {0x1FA6, "\u1f6e\u0399", nullptr},
    {0x1FA7, "\u1f6f\u0399", nullptr},
    {0x1FA8, "\u1f68\u0399", nullptr},
    {0x1FA9, "\u1f69\u0399", nullptr},
    {0x1FAA, "\u1f6a\u0399", nullptr},
    {0x1FAB, "\u1f6b\u0399", nullptr},
    {0x1FAC, "\u1f6c\u0399", nullptr},
    {0x1FAD, "\u1f6d\u0399", nullptr},
    {0x1FAE, "\u1f6e\u0399", nullptr},
    {0x1FAF, "\u1f6f\u0399", nullptr},
    {0x1FB2, "\u1fba\u0399", "\u1fba\u0345"},
    {0x1FB3, "\u0391\u0399", nullptr},
    {0x1FB4, "\u0386\u0399", "\u0386\u0345"},
    {0x1FB6, "\u0391\u0342", "\u0391\u0342"},
    {0x1FB7, "\u0391\u0342\u0399", "\u0391\u0342\u0345"},
    {0x1FBC, "\u0391\u0399", nullptr},
    {0x1FC2, "\u1fca\u0399", "\u1fca\u0345"},
    {0x1FC3, "\u0397\u0399", nullptr},
    {0x1FC4, "\u0389\u0399", "\u0389\u0345"},
    {0x1FC6, "\u0397\u0342", "\u0397\u0342"},
    {0x1FC7, "\u0397\u0342\u0399", "\u0397\u0342\u0345"},
    {0x1FCC, "\u0397\u0399", nullptr},
    {0x1FD2, "\u0399\u0308\u0300", "\u0399\u0308\u0300"},
    {0x1FD3, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x1FD6, "\u0399\u0342", "\u0399\u0342"},
    {0x1FD7, "\u0399\u0308\u0342", "\u0399\u0308\u0342"},
    {0x1FE2, "\u03a5\u0308\u0300", "\u03a5\u0308\u0300"},
    {0x1FE3, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301"},
    {0x1FE4, "\u03a1\u0313", "\u03a1\u0313"},
    {0x1FE6, "\u03a5\u0342", "\u03a5\u0342"},
    {0x1FE7, "\u03a5\u0308\u0342", "\u03a5\u0308\u0342"},
    {0x1FF2, "\u1ffa\u0399", "\u1ffa\u0345"},
    {0x1FF3, "\u03a9\u0399", nullptr},
    {0x1FF4, "\u038f\u0399", "\u038f\u0345"},
    {0x1FF6, "\u03a9\u0342", "\u03a9\u0342"},
    {0x1FF7, "\u03a9\u0342\u0399", "\u03a9\u0342\u0345"},
    {0x1FFC, "\u03a9\u0399", nullptr},
    {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},
    {0xFB02, "FL", "Fl"},
    {0xFB03, "FFI", "Ffi"},
    {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"},
    {0xFB06, "ST", "St"},
    {0xFB13, "\u0544\u0546", "\u0544\u0576"},
    {0xFB14, "\u0544\u0535", "\u0544\u0565"},
    {0xFB15, "\u0544\u053b", "\u0544\u056b"},
    {0xFB16, "\u054e\u0546", "\u054e\u0576"},
    {0xFB17, "\u0544\u053d", "\u0544\u056d"},
};

const SpecialCase* find_special(char32_t c) {
  if (c < 0xDF) return nullptr;
  const SpecialCase* at =
      std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), c,
                       [](const SpecialCase& s, char32_t x) { return s.code < x; });
  return at != std::end(kSpecialCases) && at->code == c ? at : nullptr;
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

void append_upper(std::string& out, char32_t c) {
  if (const SpecialCase* special = find_special(c)) {
    out += special->upper;
  } else {
    utf8::append(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  const SpecialCase* special = find_special(c);
  if (special != nullptr && special->title != nullptr) {
    out += special->title;
  } else {
    utf8::append(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

// Case_Ignorable, as far as text has it: marks, format characters, modifiers and apostrophes.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019 ||
         c == 0x2024 || c == 0x2027;
}

constexpr char32_t kCapitalSigma = 0x3A3;
constexpr char32_t kSmallSigma = 0x3C3;
constexpr char32_t kFinalSigma = 0x3C2;

// Whether the capital sigma at [at, at + 2) ends a word: a cased letter before it, none behind.
// Case-ignorable characters between do not count; at most kReach of them are looked at, so that
// time stays linear.
bool is_final_sigma(std::string_view text, size_t at) {
  constexpr int kReach = 64;
  bool cased_before = false;
  size_t before = at;
  for (int n = 0; n < kReach && before > 0; ++n) {
    before = utf8::floor_boundary(text, before - 1);
    const char32_t c = utf8::decode(text.substr(before)).code_point;
    if (is_case_ignorable(c)) continue;
    cased_before = is_cased(c);
    break;
  }
  if (!cased_before) return false;
  size_t after = at + 2;
  for (int n = 0; n < kReach && after < text.size(); ++n) {
    const utf8::Decoded c = utf8::decode(text.substr(after));
    if (!is_case_ignorable(c.code_point)) return !is_cased(c.code_point);
    after += c.length;
  }
  return true;
}

// Appends the lower case of the character at `at` of `text`.
void append_lower(std::string& out, std::string_view text, size_t at, char32_t c) {
  constexpr char32_t kCapitalDottedI = 0x130;
  if (c == kCapitalDottedI) {
    out += "i\u0307";
  } else if (c == kCapitalSigma) {
    utf8::append(out, is_final_sigma(text, at) ? kFinalSigma : kSmallSigma);
  } else {
    utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased_as(std::string_view text, bool (*is_case)(char32_t)) {
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    if (is_cased(c.code_point)) {
      if (!is_case(c.code_point)) return false;
      found = true;
    }
    at += c.length;
  }
  return found;
}

// Calls f(offset, character) for each character.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    f(at, c.code_point);
    at += c.length;
  }
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size()) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    if (!is_space(c.code_point)) break;
    at += c.length;
  }
  return at;
}

std::string_view rstrip_space(std::string_view text) {
  while (!text.empty()) {
    const size_t last = utf8::floor_boundary(text, text.size() - 1);
    if (!is_space(utf8::decode(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view strip_space(std::string_view text) {
  return rstrip_space(text.substr(skip_space(text, 0)));
}

bool is_word(char32_t c) {
  if (c < 0x80) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  return is_alpha(c) || is_numeric(c);
}

size_t name_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    const utf8proc_category_t kind = category(c.code_point);
    const bool mark = kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
                      kind == UTF8PROC_CATEGORY_PC;
    if (!is_word(c.code_point) && !mark) break;
    at += c.length;
  }
  return at;
}

bool is_identifier(std::string_view name) {
  if (name.empty()) return false;
  bool valid = true;
  for_each_character(name, [&](size_t at, char32_t c) {
    const utf8proc_category_t kind = category(c);
    const bool start = c == '_' || is_alpha(c) || kind == UTF8PROC_CATEGORY_NL;
    const bool inner = kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_MN ||
                       kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_PC;
    if (!start && (at == 0 || !inner)) valid = false;
  });
  return valid;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_alpha(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_digit(char32_t c) { return is_decimal(c) || in_ranges(kOtherDigits, c); }
bool is_numeric(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}
bool is_lower(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LL || in_ranges(kOtherLower, c);
}
bool is_upper(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LU || in_ranges(kOtherUpper, c);
}
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

bool is_lower_text(std::string_view text) { return is_cased_as(text, is_lower); }
bool is_upper_text(std::string_view text) { return is_cased_as(text, is_upper); }

size_t count_characters(std::string_view text) {
  size_t continuation = 0;
  for (const char c : text) continuation += (static_cast<unsigned char>(c) & 0xC0) == 0x80;
  return text.size() - continuation;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](size_t at, char32_t c) { append_lower(out, text, at, c); });
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](size_t, char32_t c) { append_upper(out, c); });
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool previous_cased = false;
  for_each_character(text, [&](size_t at, char32_t c) {
    if (previous_cased) {
      append_lower(out, text, at, c);
    } else {
      append_title(out, c);
    }
    previous_cased = is_cased(c);
  });
  return out;
}

std::string to_capitalized(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](size_t at, char32_t c) {
    if (at == 0) {
      append_title(out, c);
    } else {
      append_lower(out, text, at, c);
    }
  });
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](size_t at, char32_t c) {
    if (is_upper(c)) {
      append_lower(out, text, at, c);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      utf8::append(out, c);
    }
  });
  return out;
}

std::string fold_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](size_t, char32_t c) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8,
                                                       UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n; ++i) utf8::append(out, static_cast<char32_t>(folded[i]));
  });
  return out;
}

}  // namespace phial::jinja
