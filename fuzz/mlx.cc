// A bundle (support/mutate.h) of config.json and model.safetensors with quantized planes, as mlx-lm
// writes them: what is taken for a model is reported, and converted to floats, for which every
// plane is decoded; the folder that comes out can be read.
#include <cmath>

#include "engine/runtime.h"
#include "eval/reports.h"
#include "model/mlx_weights.h"
#include "quantize/convert.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 2;

constexpr const char* kWords[] = {"quantization",
                                  "quantization_config",
                                  "group_size",
                                  "bits",
                                  "mode",
                                  "affine",
                                  "mxfp4",
                                  "mxfp8",
                                  "nvfp4",
                                  "model.embed_tokens",
                                  "lm_head",
                                  "model.layers.0.self_attn.q_proj",
                                  "model.layers.0.mlp.down_proj",
                                  "model.layers.0.mlp.down_proj.scales",
                                  "model.layers.0.mlp.down_proj.biases",
                                  "hidden_size",
                                  "intermediate_size",
                                  "num_hidden_layers",
                                  "num_attention_heads",
                                  "num_key_value_heads",
                                  "head_dim",
                                  "vocab_size",
                                  "tie_word_embeddings",
                                  "model_type"};

std::shared_ptr<const Runtime> runtime(const std::shared_ptr<const Files>& files) {
  auto made = Runtime::create(1, "", files);
  fuzz::require(made.ok());
  return *made;
}

// What config.json says of each module that has planes.
void check_entries(const Checkpoint& checkpoint) {
  for (const NamedTensor& tensor : checkpoint.tensors) {
    const auto entry = mlx_quantization_of(checkpoint, mlx_module(tensor.name));
    if (!entry.ok()) {
      fuzz::check_error(entry.error());
    } else if (*entry) {
      fuzz::require((*entry)->bits >= 1 && (*entry)->bits <= 8 && (*entry)->group_size >= 1);
    }
  }
}

Status run(const std::shared_ptr<const Files>& files) {
  PHIAL_ASSIGN(Checkpoint read, read_checkpoint(*files, "m"));
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(read));
  (void)model_info(*checkpoint, true);
  if (is_mlx_quantized(*checkpoint)) check_entries(*checkpoint);
  PHIAL_ASSIGN(std::shared_ptr<const Model> model, open_model(checkpoint));
  ConvertOptions options;
  options.format = TargetFormat::safetensors;
  options.scheme = "f32";
  PHIAL_ASSIGN(const ConvertPlan plan, plan_conversion(*files, std::move(model), options));
  PHIAL_ASSIGN(const ConvertResult result,
               run_conversion(*runtime(files), plan, "out", nullptr, nullptr));
  for (const TensorResult& tensor : result.tensors) {
    fuzz::require(tensor.exact && std::isfinite(tensor.squared_norm));
  }
  const auto back = read_checkpoint(*files, "out");
  fuzz::require(back.ok());
  return {};
}

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  if (choice.one_in(2)) {
    files[0] = fuzz::mutate_json(files[0], kWords, choice);
  } else {
    files[1] = fuzz::mutate_safetensors(files[1], fuzz::kSafetensorsWords, choice);
  }
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto files = std::make_shared<MemoryFiles>();
  std::vector<std::string> parts = fuzz::split_bundle({data, size}, kFiles);
  files->put("m/config.json", std::move(parts[0]));
  files->put("m/model.safetensors", std::move(parts[1]));
  const Status status = run(files);
  if (!status.ok()) fuzz::check_error(status.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
