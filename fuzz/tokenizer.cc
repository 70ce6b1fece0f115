// A bundle (support/mutate.h) of tokenizer.json, tokenizer_config.json, special_tokens_map.json and
// a text: the files are read, the text encoded and decoded at once and token by token; and once
// more with the vocabulary of a GGUF file that is made of it, if there can be one.
#include "text/tokenizer.h"

#include "support/checks.h"
#include "support/mutate.h"
#include "support/text.h"
#include "text/gguf_vocabulary.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 4;
constexpr const char* kWords[] = {"version",
                                  "truncation",
                                  "padding",
                                  "added_tokens",
                                  "normalizer",
                                  "pre_tokenizer",
                                  "post_processor",
                                  "decoder",
                                  "model",
                                  "type",
                                  "BPE",
                                  "Unigram",
                                  "WordPiece",
                                  "vocab",
                                  "merges",
                                  "unk_token",
                                  "byte_fallback",
                                  "fuse_unk",
                                  "ignore_merges",
                                  "dropout",
                                  "continuing_subword_prefix",
                                  "end_of_word_suffix",
                                  "ByteLevel",
                                  "Sequence",
                                  "Split",
                                  "Digits",
                                  "Metaspace",
                                  "Whitespace",
                                  "pretokenizers",
                                  "normalizers",
                                  "processors",
                                  "decoders",
                                  "pattern",
                                  "Regex",
                                  "String",
                                  "behavior",
                                  "Isolated",
                                  "Removed",
                                  "invert",
                                  "individual_digits",
                                  "add_prefix_space",
                                  "trim_offsets",
                                  "use_regex",
                                  "TemplateProcessing",
                                  "single",
                                  "pair",
                                  "special_tokens",
                                  "SpecialToken",
                                  "id",
                                  "ids",
                                  "tokens",
                                  "content",
                                  "single_word",
                                  "lstrip",
                                  "rstrip",
                                  "normalized",
                                  "special",
                                  "Replace",
                                  "Prepend",
                                  "Strip",
                                  "Fuse",
                                  "ByteFallback",
                                  "NFC",
                                  "NFKC",
                                  "Precompiled",
                                  "precompiled_charsmap",
                                  "(a+)+$",
                                  "\\p{L}+(?=x)",
                                  "(?i:'s)",
                                  "added_tokens_decoder",
                                  "bos_token",
                                  "eos_token",
                                  "add_bos_token",
                                  "clean_up_tokenization_spaces",
                                  "model_max_length",
                                  "<0x00>",
                                  "<0x-1>",
                                  "<s>",
                                  "\xC4\xA0",
                                  "\xE2\x96\x81",
                                  "a b",
                                  " ",
                                  "a",
                                  "0"};

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  const size_t which = choice.one_in(2) ? 0 : choice.below(kFiles);
  files[which] = which + 1 < kFiles ? fuzz::mutate_json(files[which], kWords, choice)
                                    : fuzz::mutate_bytes(files[which], kWords, choice);
  return fuzz::join_bundle(files);
}

Json json_or_null(const std::string& text) {
  auto value = parse_json(text, "side");
  return value.ok() ? *std::move(value) : Json();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<std::string> files = fuzz::split_bundle({data, size}, kFiles);
  auto spec = tokenizer_spec_from_hf(files[0], json_or_null(files[1]), json_or_null(files[2]),
                                     "tokenizer.json");
  if (!spec.ok()) {
    fuzz::check_error(spec.error());
    return 0;
  }
  const auto tokenizer = Tokenizer::create(*std::move(spec));
  if (!tokenizer.ok()) {
    fuzz::check_error(tokenizer.error());
    return 0;
  }
  fuzz::run_text(*tokenizer, files[3]);
  fuzz::run_tokenizer(*tokenizer);
  const auto written = gguf_vocabulary_of((*tokenizer)->spec(), "", "tokenizer.json");
  if (!written.ok()) {
    fuzz::check_error(written.error());
    return 0;
  }
  auto read = tokenizer_spec_from_gguf(written->view(), "m.gguf");
  fuzz::require(read.ok());
  const auto again = Tokenizer::create(*std::move(read));
  fuzz::require(again.ok());
  fuzz::run_text(*again, files[3]);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
