// tokenizer.json, a zero byte, and a text: the file is read, the text encoded and decoded at once
// and token by token. Seeds: tests/golden/tokenizers/*/tokenizer.json and
// tests/golden/pipelines/*.tokenizer.json.
#include "text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/utf8.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

void run_text(const std::shared_ptr<const phial::Tokenizer>& tokenizer, std::string_view text) {
  const auto ids = tokenizer->encode(text, {});
  if (!ids.ok()) {
    // Beside text that is not UTF-8: a word that the vocabulary lacks, or a limit.
    require(phial::utf8::find_invalid(text) ||
            ids.error().code == phial::ErrorCode::invalid_input ||
            ids.error().code == phial::ErrorCode::over_limit);
    return;
  }
  require(!phial::utf8::find_invalid(text));
  for (const bool skip : {false, true}) {
    const auto whole = tokenizer->decode(*ids, skip);
    if (!whole.ok()) {
      require(whole.error().code == phial::ErrorCode::over_limit);
      continue;
    }
    require(!phial::utf8::find_invalid(*whole));
    phial::StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const int32_t id : *ids) {
      const auto part = stream.push(id);
      require(part.ok() && !phial::utf8::find_invalid(*part));
      streamed += *part;
    }
    streamed += stream.finish();
    require(streamed == *whole);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view file = input.substr(0, zero);
  const std::string_view text = zero == std::string_view::npos
                                    ? "I'm <|endoftext|> 123  a\n\n \u00e9"
                                    : input.substr(zero + 1);
  auto spec = phial::tokenizer_spec_from_hf(file, {}, {}, "tokenizer.json");
  if (!spec.ok()) return 0;
  // The spec's own text: every piece as it is written.
  std::string pieces;
  for (const std::string& piece : spec->pieces) pieces += piece;
  for (const phial::AddedToken& token : spec->added_tokens) pieces += " " + token.content;
  const auto tokenizer = phial::Tokenizer::create(*std::move(spec));
  if (!tokenizer.ok()) return 0;
  run_text(*tokenizer, text);
  run_text(*tokenizer, pieces);
  return 0;
}
