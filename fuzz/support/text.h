// A tokenizer and a template made from hostile files are used, not only made.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "support/checks.h"
#include "text/tokenizer.h"

namespace phial::fuzz {

// Encodes `text`; decodes the ids at once and one by one, which must give the same.
inline void run_text(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  const auto ids = tokenizer->encode(text, {});
  if (!ids.ok()) {
    // Not UTF-8, a character that the vocabulary cannot spell, or a step that takes too much.
    require(ids.error().code == ErrorCode::invalid_input ||
            ids.error().code == ErrorCode::over_limit);
    return;
  }
  require(!utf8::find_invalid(text));
  for (const bool skip : {false, true}) {
    const auto whole = tokenizer->decode(*ids, skip);
    if (!whole.ok()) {
      require(whole.error().code == ErrorCode::over_limit);
      continue;
    }
    require(!utf8::find_invalid(*whole));
    StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const int32_t id : *ids) {
      const auto part = stream.push(id);
      require(part.ok() && !utf8::find_invalid(*part));
      streamed += *part;
    }
    streamed += stream.finish();
    require(streamed == *whole);
  }
}

inline void run_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer) {
  run_text(tokenizer, "I'm <|endoftext|> 123  a\n\n \u00e9");
  // The vocabulary's own text: every piece as it is written, up to a bounded length.
  constexpr size_t kMaxText = 1 << 16;
  std::string pieces;
  for (int32_t id = 0; id < tokenizer->size() && pieces.size() < kMaxText; ++id) {
    pieces += tokenizer->piece(id).value_or("");
  }
  run_text(tokenizer, pieces);
}

}  // namespace phial::fuzz
