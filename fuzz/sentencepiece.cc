// A bundle (support/mutate.h) of a SentencePiece model and tokenizer_config.json: made into a
// tokenizer, which encodes and decodes.
#include "support/checks.h"
#include "support/mutate.h"
#include "support/text.h"
#include "text/slow_tokenizer.h"
#include "text/tokenizer.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 2;
constexpr const char* kWords[] = {"<unk>",        "<s>",
                                  "</s>",         "<0x00>",
                                  "<0x-1>",       "<0x100>",
                                  "\xE2\x96\x81", "tokenizer_class",
                                  "legacy",       "LlamaTokenizer",
                                  "T5Tokenizer",  "add_bos_token",
                                  "bos_token",    "extra_ids",
                                  "nmt_nfkc",     "identity"};

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  if (choice.one_in(4)) {
    files[1] = fuzz::mutate_json(files[1], kWords, choice);
  } else {
    files[0] = fuzz::mutate_protobuf(files[0], kWords, choice);
  }
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<std::string> parts = fuzz::split_bundle({data, size}, kFiles);
  if (parts[0].empty()) return 0;
  SlowTokenizerFiles files;
  files.sentence_piece_model = parts[0];
  if (auto config = parse_json(parts[1], "tokenizer_config.json"); config.ok()) {
    files.config = *std::move(config);
  }
  const auto json = tokenizer_json_of(files);
  if (!json.ok()) {
    fuzz::check_error(json.error());
    return 0;
  }
  auto spec = tokenizer_spec_from_hf(*json, files.config, {}, "tokenizer.json");
  if (!spec.ok()) {
    fuzz::check_error(spec.error());
    return 0;
  }
  const auto tokenizer = Tokenizer::create(*std::move(spec));
  tokenizer.ok() ? fuzz::run_tokenizer(*tokenizer) : fuzz::check_error(tokenizer.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
