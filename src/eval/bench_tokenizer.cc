#include "eval/bench_tokenizer.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "base/rng.h"
#include "sys/clock.h"

namespace phial {
namespace {

constexpr size_t kTextBytes = size_t{4} << 20;
constexpr size_t kWorstBytes = size_t{1} << 20;
constexpr int kMaxRounds = 1000;
constexpr Tokenizer::EncodeOptions kPlain{.add_special_tokens = false};

// Common words, roughly by frequency: a word is drawn in inverse proportion to its place.
constexpr std::string_view kWords[] = {
    "the",      "of",        "and",       "to",       "in",       "a",        "is",
    "that",     "it",        "was",       "for",      "on",       "with",     "as",
    "be",       "at",        "by",        "this",     "had",      "not",      "are",
    "but",      "from",      "or",        "have",     "an",       "they",     "which",
    "one",      "you",       "were",      "all",      "her",      "she",      "there",
    "would",    "their",     "we",        "him",      "been",     "has",      "when",
    "who",      "will",      "no",        "more",     "if",       "out",      "so",
    "up",       "said",      "what",      "its",      "about",    "than",     "into",
    "them",     "can",       "only",      "other",    "time",     "new",      "some",
    "could",    "these",     "two",       "may",      "first",    "then",     "do",
    "any",      "like",      "my",        "now",      "over",     "such",     "our",
    "man",      "me",        "even",      "most",     "made",     "after",    "also",
    "did",      "many",      "off",       "before",   "must",     "well",     "back",
    "through",  "years",     "much",      "where",    "your",     "way",      "down",
    "should",   "because",   "long",      "each",     "just",     "state",    "those",
    "people",   "too",       "world",     "little",   "very",     "good",     "system",
    "still",    "own",       "life",      "work",     "between",  "house",    "water",
    "number",   "public",    "without",   "program",  "question", "morning",  "government",
    "language", "computer",  "different", "however",  "business", "possible", "development",
    "research", "important", "family",    "evening",  "building", "children", "information",
    "against",  "history",   "thought",   "together", "mountain", "science",  "understanding",
    "memory",   "problem",   "remember",  "general",  "describe", "measured", "representation",
    "Monday",   "London",    "Anna",      "Europe",   "Robert",   "January",  "approximately"};

class TextMaker {
 public:
  std::string make(size_t bytes) {
    while (text_.size() < bytes) sentence();
    text_.resize(bytes);
    return std::move(text_);
  }

 private:
  uint64_t below(uint64_t n) { return rng_.next() % n; }

  std::string_view word() {
    // Zipf's law by a product of two uniform numbers: small indices come often.
    const auto at = static_cast<size_t>(rng_.uniform() * rng_.uniform() *
                                        static_cast<double>(std::size(kWords)));
    return kWords[at];
  }

  void sentence() {
    const uint64_t words = 4 + below(20);
    const size_t begin = text_.size();
    for (uint64_t i = 0; i < words; ++i) {
      if (i > 0) text_ += below(12) == 0 ? ", " : " ";
      const uint64_t kind = below(60);
      if (kind == 0) {
        text_ += std::to_string(below(kind + 3000));
      } else if (kind == 1) {
        text_ += std::array{"it's", "don't", "we'll", "they're", "I've"}[below(5)];
      } else if (kind == 2) {
        text_ += '"';
        text_ += word();
        text_ += '"';
      } else {
        text_ += word();
      }
    }
    if (text_[begin] >= 'a' && text_[begin] <= 'z') {
      text_[begin] = static_cast<char>(text_[begin] - 'a' + 'A');
    }
    text_ += std::array{".", ".", ".", "?", "!", ";"}[below(6)];
    text_ += below(6) == 0 ? "\n\n" : below(5) == 0 ? "\n" : " ";
  }

  Rng rng_{2024};
  std::string text_;
};

// The median over the rounds of the seconds that `work`, a Status function, takes.
template <class Work>
Result<double> median_seconds(int rounds, const Work& work) {
  std::vector<double> seconds;
  for (int round = 0; round <= rounds; ++round) {
    const double begin = thread_cpu_seconds();
    PHIAL_TRY(work());
    const double end = thread_cpu_seconds();
    if (round > 0) seconds.push_back(std::max(end - begin, 1e-9));  // the first one warms up
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

double mbps(size_t bytes, double seconds) { return static_cast<double>(bytes) * 1e-6 / seconds; }

// Copies the text and counts its characters.
Result<double> scan_seconds(std::string_view text, int rounds) {
  std::string copy(text.size(), '\0');
  size_t counted = 0;
  PHIAL_ASSIGN(const double seconds, median_seconds(rounds, [&]() -> Status {
                 std::copy(text.begin(), text.end(), copy.begin());
                 counted += static_cast<size_t>(std::count_if(
                     copy.begin(), copy.end(), [](char c) { return (c & 0xC0) != 0x80; }));
                 return {};
               }));
  if (counted == 0) return internal_error("bench", "the probe counted nothing");
  return seconds;
}

class Rows {
 public:
  explicit Rows(double probe_mbps) : probe_mbps_(probe_mbps) {}

  void add_rate(std::string name, double rate) {
    Json row = named(std::move(name), rate, "MB/s");
    row.set("percent_of_probe", 100.0 * rate / probe_mbps_);
    rows_.push(std::move(row));
  }
  void add_plain(std::string name, double value, const char* unit) {
    Json row = named(std::move(name), value, unit);
    row.set("percent_of_probe", Json());
    rows_.push(std::move(row));
  }
  Json take() { return std::move(rows_); }

 private:
  static Json named(std::string name, double value, const char* unit) {
    Json row;
    row.set("name", std::move(name));
    row.set("value", value);
    row.set("unit", unit);
    return row;
  }

  double probe_mbps_;
  Json rows_{Json::Array()};
};

// Texts whose words are as long as they can be.
Status add_worst_cases(const Tokenizer& tokenizer, int rounds, Rows& rows) {
  struct Worst {
    const char* name;
    std::string_view unit;
  };
  constexpr Worst kWorst[] = {{"letters", "a"},     {"spaces", " "},         {"digits", "7"},
                              {"lines", "\n"},      {"apostrophes", "'"},    {"signs", "="},
                              {"ideographs", "漢"}, {"unassigned", "\u0378"}};
  for (const Worst& worst : kWorst) {
    std::string text;
    while (text.size() < kWorstBytes) text += worst.unit;
    PHIAL_ASSIGN(const double seconds, median_seconds(rounds, [&]() -> Status {
                   PHIAL_ASSIGN(const auto ids,
                                tokenizer.encode(text, {.add_special_tokens = false}));
                   return ids.empty() ? internal_error("bench", "no ids") : Status();
                 }));
    rows.add_rate(std::string("tokenizer_worst_") + worst.name + "_mbps",
                  mbps(text.size(), seconds));
  }
  return {};
}

// A call a line, decoding, and the worst cases.
Status add_other_rows(const Tokenizer& tokenizer, std::string_view text,
                      const std::vector<int32_t>& ids, int rounds, Rows& rows) {
  PHIAL_ASSIGN(const double lines, median_seconds(rounds, [&]() -> Status {
                 for (size_t at = 0; at < text.size();) {
                   const size_t end = std::min(text.find('\n', at), text.size());
                   PHIAL_TRY(Status(tokenizer.encode(text.substr(at, end - at), kPlain).ok()
                                        ? Status()
                                        : internal_error("bench", "a line of the text fails")));
                   at = end + 1;
                 }
                 return {};
               }));
  rows.add_rate("tokenizer_lines_mbps", mbps(text.size(), lines));
  size_t decoded_bytes = 0;
  PHIAL_ASSIGN(const double decode, median_seconds(rounds, [&]() -> Status {
                 PHIAL_ASSIGN(const std::string decoded, tokenizer.decode(ids, false));
                 decoded_bytes = decoded.size();
                 return {};
               }));
  rows.add_rate("detokenizer_mbps", mbps(decoded_bytes, decode));
  rows.add_plain(
      "bytes_per_token",
      static_cast<double>(text.size()) / static_cast<double>(std::max<size_t>(ids.size(), 1)),
      "bytes");
  return add_worst_cases(tokenizer, std::min(rounds, 3), rows);
}

}  // namespace

std::string bench_text(size_t bytes) { return TextMaker().make(bytes); }

Result<Json> bench_tokenizer(const Tokenizer& tokenizer, const TokenizerBenchOptions& options) {
  const int rounds = options.rounds;
  if (rounds < 1 || rounds > kMaxRounds) {
    return usage_error("rounds", "is not in 1.." + std::to_string(kMaxRounds));
  }
  const std::string made = options.text.empty() ? bench_text(kTextBytes) : std::string();
  const std::string_view text = options.text.empty() ? made : options.text;

  PHIAL_ASSIGN(const double scan, scan_seconds(text, rounds));
  Rows rows(mbps(text.size(), scan));
  std::vector<int32_t> ids;
  PHIAL_ASSIGN(const double encode, median_seconds(rounds, [&]() -> Status {
                 PHIAL_ASSIGN(ids, tokenizer.encode(text, kPlain));
                 return {};
               }));
  rows.add_rate("tokenizer_mbps", mbps(text.size(), encode));
  if (!options.only_whole) PHIAL_TRY(add_other_rows(tokenizer, text, ids, rounds, rows));

  Json about;
  about.set("source", options.text.empty() ? "made-up English" : "given");
  about.set("bytes", uint64_t{text.size()});
  about.set("tokens", uint64_t{ids.size()});
  Json probes;
  probes.set("text_scan_mbps", mbps(text.size(), scan));
  Json report;
  report.set("text", std::move(about));
  report.set("probes", std::move(probes));
  report.set("rows", rows.take());
  return report;
}

}  // namespace phial
