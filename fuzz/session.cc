// A saved sequence, its checksums made right again half of the time, is loaded with a tiny model
// and continued: finite logits, or a named error. What loads is what is saved again.
#include <cmath>
#include <cstring>

#include "base/xxh64.h"
#include "engine/native_decoder.h"
#include "engine/sequence.h"
#include "support/checks.h"
#include "support/mutate.h"

namespace {

using namespace phial;

constexpr size_t kHeadBytes = 40, kTokensAt = 24;
constexpr int64_t kVocabulary = 24, kWindow = 20;

// One layer with a window and 2 heads of 4, weights that repeat a few numbers.
std::string config() {
  return R"({"model_type":"mistral","architectures":["MistralForCausalLM"],"hidden_size":8,
    "intermediate_size":8,"max_position_embeddings":200,"num_attention_heads":2,
    "num_hidden_layers":1,"num_key_value_heads":2,"rms_norm_eps":1e-05,"rope_theta":10000.0,
    "tie_word_embeddings":true,"torch_dtype":"float32","hidden_act":"silu","vocab_size":)" +
         std::to_string(kVocabulary) + R"(,"sliding_window":)" + std::to_string(kWindow) + "}";
}

std::string weights() {
  const std::string layer = "model.layers.0.";
  const std::pair<std::string, std::vector<int64_t>> tensors[] = {
      {"model.embed_tokens.weight", {kVocabulary, 8}},
      {"model.norm.weight", {8}},
      {layer + "input_layernorm.weight", {8}},
      {layer + "post_attention_layernorm.weight", {8}},
      {layer + "self_attn.q_proj.weight", {8, 8}},
      {layer + "self_attn.k_proj.weight", {8, 8}},
      {layer + "self_attn.v_proj.weight", {8, 8}},
      {layer + "self_attn.o_proj.weight", {8, 8}},
      {layer + "mlp.gate_proj.weight", {8, 8}},
      {layer + "mlp.up_proj.weight", {8, 8}},
      {layer + "mlp.down_proj.weight", {8, 8}}};
  std::string header = "{", data;
  for (const auto& [name, shape] : tensors) {
    const size_t begin = data.size();
    int64_t count = 1;
    std::string extents;
    for (const int64_t extent : shape) {
      count *= extent;
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    }
    for (int64_t i = 0; i < count; ++i) {
      const float value = static_cast<float>(i * i % 17 - 8) / 8;
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header += (header.size() > 1 ? ",\"" : "\"") + name + R"(":{"dtype":"F32","shape":[)" +
              extents + R"(],"data_offsets":[)" + std::to_string(begin) + "," +
              std::to_string(data.size()) + "]}";
  }
  header += "}";
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data;
}

const std::shared_ptr<Decoder>& tiny_decoder() {
  static const std::shared_ptr<Decoder> made = [] {
    auto files = std::make_shared<MemoryFiles>();
    files->put("m/config.json", config());
    files->put("m/model.safetensors", weights());
    auto read = read_checkpoint(*files, "m");
    fuzz::require(read.ok());
    auto model = open_model(std::make_shared<const Checkpoint>(*std::move(read)));
    auto runtime = Runtime::create(1, "", files);
    fuzz::require(model.ok() && runtime.ok());
    auto native = make_native_decoder(*runtime, *model);
    fuzz::require(native.ok());
    return *native;
  }();
  return made;
}

std::string saved(Sequence& sequence) {
  MemoryFiles files;
  fuzz::require(sequence.save(files, "s").ok());
  return std::string((*files.map("s"))->text());
}

// A file of a sequence of `length` tokens, the last of which is not computed.
std::string sound(int64_t length) {
  auto sequence = Sequence::create(tiny_decoder(), 0);
  fuzz::require(sequence.ok());
  for (int64_t i = 0; i < length; ++i) {
    const auto id = static_cast<int32_t>(i % kVocabulary);
    fuzz::require((*sequence)->append({&id, 1}).ok());
    if (i == length - 2) fuzz::require((*sequence)->compute_logits(LogitsRows::none, nullptr).ok());
  }
  return saved(**sequence);
}

uint64_t number_at(const std::string& bytes, size_t offset) {
  uint64_t value = 0;
  if (offset + 8 <= bytes.size()) std::memcpy(&value, bytes.data() + offset, 8);
  return value;
}

// Puts the right checksums and fingerprint into a file, as far as it can be walked through.
void sign(std::string& bytes) {
  if (bytes.size() < kHeadBytes) return;
  const uint64_t fingerprint = tiny_decoder()->fingerprint();
  std::memcpy(bytes.data() + 16, &fingerprint, 8);
  const uint64_t tokens = number_at(bytes, kTokensAt);
  if (tokens > (bytes.size() - kHeadBytes) / 4) return;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t covered = kHeadBytes + tokens * 4;
  const uint64_t seed = xxh64({data, covered});
  if (covered + 8 > bytes.size()) return;
  std::memcpy(bytes.data() + covered, &seed, 8);
  uint64_t index = 1;
  for (size_t at = covered + 8; bytes.size() - at >= 16; ++index) {
    const uint64_t size = number_at(bytes, at);
    if (size > bytes.size() - at - 16) return;
    const uint64_t sum = xxh64({data + at + 16, size}, seed + index);
    std::memcpy(bytes.data() + at + 8, &sum, 8);
    at += 16 + size;
  }
}

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  static constexpr const char* kWords[] = {"PHIALSEQ"};
  std::string bytes = choice.one_in(8) || input.size() < kHeadBytes
                          ? sound(1 + static_cast<int64_t>(choice.below(190)))
                          : input;
  // The numbers in front of the tokens and of the cache, in which mistakes would lie.
  const size_t parts = kHeadBytes + number_at(bytes, kTokensAt) % 200 * 4 + 8;
  if (choice.one_in(2)) {
    const size_t fields[] = {kTokensAt, kTokensAt + 8, parts, parts + 16 + 8 * choice.below(8)};
    const size_t at = choice.of(fields);
    const uint64_t value = choice.one_in(2) ? number_at(bytes, at) + choice.below(3) - 1
                                            : fuzz::interesting_integer(choice);
    if (at + 8 <= bytes.size()) std::memcpy(bytes.data() + at, &value, 8);
  } else {
    bytes = fuzz::mutate_bytes(std::move(bytes), kWords, choice);
  }
  if (choice.one_in(2)) sign(bytes);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryFiles files;
  const std::string input(reinterpret_cast<const char*>(data), size);
  files.put("s", input);
  auto loaded = Sequence::load(tiny_decoder(), 0, files, "s");
  if (!loaded.ok()) {
    fuzz::check_error(loaded.error());
    return 0;
  }
  Sequence& sequence = **loaded;
  fuzz::require(sequence.computed() <= sequence.length());
  fuzz::require(saved(sequence) == input);
  if (sequence.length() == 0) return 0;
  const Status status = sequence.compute_logits(LogitsRows::last, nullptr);
  if (!status.ok()) {
    fuzz::check_error(status.error());
    return 0;
  }
  for (const float value : sequence.logits().values) fuzz::require(std::isfinite(value));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
