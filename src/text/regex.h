// Regular expressions of tokenizer files that no hand-made splitter does: Oniguruma with the
// options that Hugging Face `tokenizers` compiles them with (Ruby syntax, UTF-8, no options), and
// with limits, because patterns and texts come from strangers.
//
// The engine differs from the one that `tokenizers` 0.23 bundles in its age: Debian's 6.9.8 knows
// Unicode 14, the bundled one Unicode 16. A character younger than Unicode 14 belongs to no \p{..}
// class here. ([[:punct:]] grew in between: it is compiled to what the newer engine makes of it.)
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

// Longest pattern, and how deep its parentheses may nest: many times what published tokenizers
// hold.
inline constexpr size_t kMaxRegexBytes = 8192;
inline constexpr size_t kMaxRegexDepth = 100;

// Immutable; safe to use from several threads at once. Copies share what was compiled.
class Regex {
 public:
  // `where` says in errors which file and field the pattern comes from. damaged: not a regular
  // expression (with the engine's message), or not UTF-8; over_limit: longer than kMaxRegexBytes or
  // deeper than kMaxRegexDepth; unsupported: holds \G or a reference to a group (\1, \k<name>).
  static Result<Regex> create(std::string_view pattern, std::string_view where);

  struct Match {
    size_t begin, end;
    bool operator==(const Match&) const = default;
  };

  // The leftmost match that begins at or after byte `from`. What lies before `from` is seen by ^,
  // \b and look-behinds. over_limit: the pattern backtracks too often or too deep on this text; the
  // time is limited in proportion to the length of the text.
  // REQUIRES: from <= text.size(), at the begin of a character; text is UTF-8
  Result<std::optional<Match>> search(std::string_view text, size_t from) const;

  // All matches from left to right, as `tokenizers` walks over them: none overlaps; the next is
  // searched where the last one ends, or a character further when that one was empty; an empty
  // match is left out when one that was not empty came before it, until one was left out.
  // over_limit as in search(), for all searches together. REQUIRES: text is UTF-8
  Result<std::vector<Match>> find_all(std::string_view text) const;

 private:
  struct Program;
  class Search;
  explicit Regex(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  std::shared_ptr<const Program> program_;
};

}  // namespace phial
