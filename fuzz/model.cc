// A tiny model, as a GGUF file or as a bundle (support/mutate.h) of config.json and
// model.safetensors, is loaded and run for two steps: finite logits, or a named error.
#include "model/model.h"

#include <cmath>

#include "engine/native_decoder.h"
#include "engine/runtime.h"
#include "formats/gguf.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 2;

std::shared_ptr<const Runtime> runtime(const std::shared_ptr<const Files>& files) {
  auto made = Runtime::create(1, "", files);
  fuzz::require(made.ok());
  return *made;
}

Status run(const std::shared_ptr<const Files>& files, const std::string& path) {
  PHIAL_ASSIGN(Checkpoint read, read_checkpoint(*files, path));
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(read));
  PHIAL_ASSIGN(const std::shared_ptr<const Model> model, open_model(checkpoint));
  PHIAL_ASSIGN(const std::shared_ptr<Decoder> decoder, make_native_decoder(runtime(files), model));
  const DecoderTraits traits = decoder->traits();
  PHIAL_ASSIGN(const SequenceId sequence, decoder->open(std::min<int64_t>(traits.context, 8)));
  const auto last = static_cast<int32_t>(traits.vocabulary - 1);
  const std::vector<int32_t> prompt = {0, last};
  const std::vector<int32_t> next = {last / 2};
  for (const std::vector<int32_t>& tokens : {prompt, next}) {
    Step step;
    step.sequence = sequence;
    step.tokens = tokens;
    Logits logits;
    PHIAL_TRY(decoder->forward({&step, 1}, logits, nullptr));
    for (const float value : logits.values) fuzz::require(std::isfinite(value));
  }
  return {};
}

bool is_gguf(const std::string& input) {
  return looks_like_gguf({reinterpret_cast<const uint8_t*>(input.data()), input.size()});
}

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  static constexpr const char* kNames[] = {
      "llama.embedding_length", "llama.block_count",    "llama.attention.head_count",
      "token_embd.weight",      "blk.0.attn_q.weight",  "blk.0.ffn_down.weight",
      "output_norm.weight",     "llama.context_length", "llama.attention.head_count_kv",
      "output.weight",          "rope_freqs.weight",    "llama.attention.key_length"};
  if (is_gguf(input)) return fuzz::mutate_gguf(input, kNames, choice);
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  if (choice.one_in(2)) {
    files[0] = fuzz::mutate_json(files[0], fuzz::kConfigWords, choice);
  } else {
    files[1] = fuzz::mutate_safetensors(files[1], fuzz::kSafetensorsWords, choice);
  }
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  auto files = std::make_shared<MemoryFiles>();
  std::string path = "m.gguf";
  if (is_gguf(input)) {
    files->put(path, input);
  } else {
    path = "m";
    std::vector<std::string> parts = fuzz::split_bundle({data, size}, kFiles);
    files->put("m/config.json", std::move(parts[0]));
    files->put("m/model.safetensors", std::move(parts[1]));
  }
  const Status status = run(files, path);
  if (!status.ok()) fuzz::check_error(status.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
