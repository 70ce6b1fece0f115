// Pieces that the splitters are put together from: runs of characters, English endings, white
// space.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/char_kind.h"

namespace phial::scan {

using char_kind::Char;
using char_kind::char_at;
using char_kind::Mask;

inline constexpr size_t kNone = 0;  // no word ends at 0

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

// ... of the run of these kinds.
inline size_t kind_end(std::string_view text, size_t at, Mask kinds) {
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 128) {
      if ((char_kind::kAscii[byte] & kinds) == 0) break;
      ++at;
    } else {
      const Char c = char_at(text, at);
      if ((c.kind & kinds) == 0) break;
      at += c.length;
    }
  }
  return at;
}

// ... of at most `limit` characters.
inline size_t kind_end(std::string_view text, size_t at, Mask kinds, size_t limit) {
  for (; limit > 0 && at < text.size(); --limit) {
    const Char c = char_at(text, at);
    if ((c.kind & kinds) == 0) break;
    at += c.length;
  }
  return at;
}

// The kind of the character at `at`; at the end of the text 0, which is in no mask.
inline Mask kind_at(std::string_view text, size_t at) {
  return at < text.size() ? char_at(text, at).kind : Mask{0};
}

inline bool is_line_break(const Char& c) { return c.kind == char_kind::kLineBreak; }

// 's|'t|'re|'ve|'m|'ll|'d with the apostrophe at `at`; kNone when there is no such ending.
// REQUIRES: text[at] is '\''
inline size_t contraction_end(std::string_view text, size_t at) {
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
inline size_t contraction_end_any_case(std::string_view text, size_t at) {
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

struct SpaceRun {
  size_t end;
  size_t last;      // bytes of its last character
  size_t line_end;  // behind its last \r or \n; kNone when there is none
};

inline SpaceRun space_run(std::string_view text, size_t at) {
  SpaceRun run{at, 0, kNone};
  while (run.end < text.size()) {
    const Char c = char_at(text, run.end);
    if ((c.kind & char_kind::kWhite) == 0) break;
    run.end += c.length;
    run.last = c.length;
    if (is_line_break(c)) run.line_end = run.end;
  }
  return run;
}

// \s+(?!\S)|\s+ for white space from `at`: all of it when nothing follows, else all but the last
// character, else that alone.
inline size_t space_word_end(size_t at, const SpaceRun& run, bool something_follows) {
  return something_follows && run.end - at > run.last ? run.end - run.last : run.end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ for white space at `at`.
inline size_t lines_or_space_end(std::string_view text, size_t at) {
  const SpaceRun run = space_run(text, at);
  if (run.line_end != kNone) return run.line_end;
  return space_word_end(at, run, run.end < text.size());
}

}  // namespace phial::scan
