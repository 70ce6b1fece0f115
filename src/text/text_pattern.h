// A TextPattern ready to run: Pattern::find_matches of Hugging Face `tokenizers`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Immutable; safe to use from several threads at once.
class CompiledPattern {
 public:
  // Errors are those of Regex::create; over_limit: a string longer than kMaxRegexBytes.
  static Result<CompiledPattern> create(const TextPattern& pattern, std::string_view where);

  // The string that is looked for; nothing for a regular expression or an empty string.
  std::optional<std::string_view> literal() const {
    if (regex_ || literal_.empty()) return std::nullopt;
    return literal_;
  }

  // Calls visit(begin, end, is_match) for the matches and what lies between them, from left to
  // right; together they are all of `text`. Matches may be empty, parts between are not. visit
  // returns a Status that ends the walk when it is an error. REQUIRES: text is UTF-8
  template <class Visit>
  Status for_each_part(std::string_view text, const Visit& visit) const {
    size_t done = 0;
    const auto found = [&](size_t begin, size_t end) -> Status {
      if (done < begin) PHIAL_TRY(visit(done, begin, false));
      done = end;
      return visit(begin, end, true);
    };
    if (text.empty()) return {};
    if (regex_) {
      PHIAL_ASSIGN(const std::vector<Regex::Match> matches, regex_->find_all(text));
      for (const Regex::Match& match : matches) PHIAL_TRY(found(match.begin, match.end));
    } else if (literal_.empty()) {
      // As an expression that matches nothing does: everywhere.
      for (size_t at = 0; at < text.size(); at += utf8::decode(text.substr(at)).length) {
        PHIAL_TRY(found(at, at));
      }
      PHIAL_TRY(found(text.size(), text.size()));
    } else if (finder_.empty()) {
      for (size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, done)) {
        PHIAL_TRY(found(at, at + literal_.size()));
      }
    } else {
      for (const StringFinder::Match& match : finder_.find(text)) {
        PHIAL_TRY(found(match.begin, match.end));
      }
    }
    return done < text.size() ? visit(done, text.size(), false) : Status();
  }

 private:
  std::string literal_;
  StringFinder finder_;  // of long strings, which std::string_view::find may be slow on
  std::optional<Regex> regex_;
};

}  // namespace phial
