#include "text/text_pattern.h"

namespace phial {

Result<CompiledPattern> CompiledPattern::create(const TextPattern& pattern,
                                                std::string_view where) {
  // find() takes at most this many steps for a byte of text.
  constexpr size_t kMaxNaive = 16;
  CompiledPattern compiled;
  if (pattern.is_regex) {
    PHIAL_ASSIGN(compiled.regex_, Regex::create(pattern.text, where));
    return compiled;
  }
  if (pattern.text.size() > kMaxRegexBytes) {
    return over_limit(where, "looks for a string of " + std::to_string(pattern.text.size()) +
                                 " bytes, the limit is " + std::to_string(kMaxRegexBytes));
  }
  compiled.literal_ = pattern.text;
  if (pattern.text.size() > kMaxNaive) {
    const std::string_view strings[] = {pattern.text};
    compiled.finder_ = StringFinder(strings);
  }
  return compiled;
}

}  // namespace phial
