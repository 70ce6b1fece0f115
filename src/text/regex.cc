#include "text/regex.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>
#include <string>

#include "base/utf8.h"
#include "sys/clock.h"

namespace phial {
namespace {

// The engine counts how often it backtracks, but not what it does in between: the loops of a{1000},
// or of look-aheads and possessive runs, which run over the whole text each time. So a match is
// tried at one place after the other, the clock is looked at between, and each try begins with few
// backtracks, so that no single one takes long, and is given more while there is time.
constexpr unsigned long kFirstRetries = 32;
constexpr unsigned long kMoreRetries = 8;          // times as many at the next try
constexpr unsigned long kMaxRetries = 10'000'000;  // the engine's own, where `tokenizers` fails too
constexpr unsigned kTriesPerLook = 8;

// Entries of the engine's stack, of up to 48 bytes, one or two per character of a match.
constexpr unsigned kMaxStackEntries = 3'000'000;

// Processor time for a text: a multiple of what patterns of published tokenizers need (0.1 to 0.2
// microseconds per byte).
constexpr double kSecondsPerText = 0.3;
constexpr double kSecondsPerByte = 0.5e-6;

const OnigUChar* bytes(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

std::string engine_message(int code, OnigErrorInfo* info) {
  std::string text(ONIG_MAX_ERROR_MESSAGE_LEN, '\0');
  const int size = onig_error_code_to_str(reinterpret_cast<OnigUChar*>(text.data()), code, info);
  text.resize(static_cast<size_t>(std::max(size, 0)));
  return text;
}

// The first escape of those that cannot be done within limits: \G asks where a search began, and a
// comparison with an earlier group takes as long as the group without counting as a step.
std::string_view unsupported_escape(std::string_view pattern) {
  for (size_t at = 0; at + 1 < pattern.size(); ++at) {
    if (pattern[at] != '\\') continue;
    ++at;
    if (std::string_view("Gk123456789").find(pattern[at]) != std::string_view::npos) {
      return pattern.substr(at - 1, 2);
    }
  }
  return {};
}

// How deep parentheses and brackets may nest at most: those that stand for themselves are counted
// too.
size_t depth_bound(std::string_view pattern) {
  size_t depth = 0;
  size_t deepest = 0;
  for (size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\\') {
      ++at;
    } else if (c == '(' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ')' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

// Oniguruma 6.9.9 made [:punct:] all of \p{P} and \p{S}; before it was \p{P}.
std::string with_newer_punct(std::string_view pattern) {
  std::string out;
  while (true) {
    const size_t at = std::min(pattern.find("[:punct:]"), pattern.find("[:^punct:]"));
    out += pattern.substr(0, at);
    if (at == std::string_view::npos) return out;
    const bool negated = pattern[at + 2] == '^';
    out += negated ? R"([^\p{P}\p{S}])" : R"(\p{P}\p{S})";
    pattern.remove_prefix(pattern.find(":]", at + 2) + 2);
  }
}

}  // namespace

struct Regex::Program {
  OnigRegex compiled = nullptr;
  std::string where;

  Program() = default;
  ~Program() { onig_free(compiled); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
};

Result<Regex> Regex::create(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kMaxRegexBytes) {
    return over_limit(where, "the regular expression has " + std::to_string(pattern.size()) +
                                 " bytes, the limit is " + std::to_string(kMaxRegexBytes));
  }
  if (utf8::find_invalid(pattern)) return damaged(where, "the regular expression is not UTF-8");
  if (depth_bound(pattern) > kMaxRegexDepth) {
    return over_limit(where, "the regular expression nests deeper than " +
                                 std::to_string(kMaxRegexDepth) + " levels");
  }
  if (const std::string_view escape = unsupported_escape(pattern); !escape.empty()) {
    return unsupported(where, std::string(escape) + " in a regular expression is not supported");
  }
  auto program = std::make_shared<Program>();
  program->where = where;
  const std::string text = with_newer_punct(pattern);
  OnigErrorInfo info{};
  int code = ONIG_NORMAL;
  {
    // The library sets itself up, for all of the process, when it is used first.
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    OnigEncoding utf8 = ONIG_ENCODING_UTF8;
    code = onig_initialize(&utf8, 1);
    if (code == ONIG_NORMAL) {
      code = onig_new(&program->compiled, bytes(text.data()), bytes(text.data() + text.size()),
                      ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
    }
  }
  if (code == ONIGERR_MEMORY) return out_of_memory(where, "the regular expression is too large");
  if (code != ONIG_NORMAL) {
    program->compiled = nullptr;
    return damaged(where, "\"" + std::string(pattern) +
                              "\" is not a regular expression: " + engine_message(code, &info));
  }
  return Regex(std::move(program));
}

// Searches over one text, with what they may cost in all.
class Regex::Search {
 public:
  Search(const Program& program, std::string_view text)
      : program_(program),
        text_(text),
        region_(onig_region_new()),
        limits_(onig_new_match_param()) {}
  ~Search() {
    if (region_ != nullptr) onig_region_free(region_, 1);
    if (limits_ != nullptr) onig_free_match_param(limits_);
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  Result<std::optional<Match>> next(size_t from) {
    if (region_ == nullptr || limits_ == nullptr) {
      return out_of_memory(program_.where, "no memory for a search");
    }
    for (size_t at = from; at <= text_.size();) {
      if (++tries_ % kTriesPerLook == 0 && time_left() < 0.0) return too_much();
      PHIAL_ASSIGN(const bool matches, match_at(at));
      if (matches) {
        return std::optional<Match>(
            {static_cast<size_t>(region_->beg[0]), static_cast<size_t>(region_->end[0])});
      }
      if (at == text_.size()) break;
      at += utf8::decode(text_.substr(at)).length;
    }
    return std::optional<Match>();
  }

 private:
  Error too_much() const {
    return over_limit(program_.where, "its regular expression takes too long on a text of " +
                                          std::to_string(text_.size()) + " bytes");
  }

  // Seconds left; the clock starts when it is looked at first.
  double time_left() {
    const double now = thread_cpu_seconds();
    if (end_ == 0.0) {
      end_ = now + kSecondsPerText + kSecondsPerByte * static_cast<double>(text_.size());
    }
    return end_ - now;
  }

  // Whether the pattern matches at `at`; then region_ says where.
  Result<bool> match_at(size_t at) {
    int code = match_within(at, kFirstRetries);
    double left = 0.0;  // before the try that failed last
    for (unsigned long retries = kFirstRetries; code == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER;) {
      const double now_left = time_left();
      // The next try takes up to kMoreRetries times as long as the last.
      const double expected = left > 0.0 ? (left - now_left) * kMoreRetries : 0.0;
      if (retries >= kMaxRetries || expected > now_left || now_left < 0.0) return too_much();
      left = now_left;
      retries = std::min(retries * kMoreRetries, kMaxRetries);
      code = match_within(at, retries);
    }
    if (code >= 0) return true;
    if (code == ONIG_MISMATCH) return false;
    if (code == ONIGERR_MATCH_STACK_LIMIT_OVER) return too_much();
    if (code == ONIGERR_MEMORY) return out_of_memory(program_.where, "no memory for a search");
    return internal_error(program_.where,
                          "a regular expression failed: " + engine_message(code, nullptr));
  }

  int match_within(size_t at, unsigned long retries) {
    const OnigUChar* begin = bytes(text_.data());
    onig_initialize_match_param(limits_);
    onig_set_match_stack_limit_size_of_match_param(limits_, kMaxStackEntries);
    onig_set_retry_limit_in_match_of_match_param(limits_, retries);
    return onig_match_with_param(program_.compiled, begin, begin + text_.size(), begin + at,
                                 region_, ONIG_OPTION_NONE, limits_);
  }

  const Program& program_;
  const std::string_view text_;
  OnigRegion* region_;
  OnigMatchParam* limits_;
  uint64_t tries_ = 0;
  double end_ = 0.0;  // of the time; 0: the clock was not looked at yet
};

Result<std::optional<Regex::Match>> Regex::search(std::string_view text, size_t from) const {
  return Search(*program_, text).next(from);
}

Result<std::vector<Regex::Match>> Regex::find_all(std::string_view text) const {
  std::vector<Match> matches;
  Search search(*program_, text);
  bool skip_empty = false;
  for (size_t from = 0; from <= text.size();) {
    PHIAL_ASSIGN(const std::optional<Match> match, search.next(from));
    if (!match) break;
    from = match->end;
    if (match->begin == match->end) {
      from += from < text.size() ? utf8::decode(text.substr(from)).length : 1;
      if (skip_empty) {
        skip_empty = false;
        continue;
      }
    } else {
      skip_empty = true;
    }
    matches.push_back(*match);
  }
  return matches;
}

}  // namespace phial
