// How fast a tokenizer is on this machine, beside what it costs to look at the same text at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer.h"

namespace phial {

struct TokenizerBenchOptions {
  std::string_view text;    // what is encoded; empty: bench_text()
  int32_t rounds = 5;       // of which the median counts; one more comes first and does not
  bool only_whole = false;  // tokenizer_mbps and no other row
};

// {"text":{"source","bytes","tokens"},"probes":{"text_scan_mbps"},
//  "rows":[{"name","value","unit","percent_of_probe"}]}, on the calling thread and in its processor
// time. The probe copies the text and counts its characters. Rows: `tokenizer_mbps` (all of the
// text in one call), `tokenizer_lines_mbps` (a call a line), `detokenizer_mbps`, `bytes_per_token`
// (no percentage), and `tokenizer_worst_NAME_mbps` for a megabyte of one character each. Errors:
// those of Tokenizer::encode; usage for less than one round or an empty line of ids.
Result<Json> bench_tokenizer(const Tokenizer& tokenizer, const TokenizerBenchOptions& options);

// About `bytes` of made-up English: sentences of common words in the frequencies of English, with
// names, numbers, contractions and paragraphs; the same on every machine.
std::string bench_text(size_t bytes);

}  // namespace phial
