#include "model/hf_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "model/family.h"
#include "model/hf_target_config.h"
#include "model/hf_target_tokenizer.h"
#include "model/roles.h"

namespace phial {
namespace {

// Files of a folder that go along with the weights, besides config.json.
constexpr const char* kSideFiles[] = {"added_tokens.json",
                                      "chat_template.jinja",
                                      "chat_template.json",
                                      "generation_config.json",
                                      "merges.txt",
                                      "sentencepiece.bpe.model",
                                      "special_tokens_map.json",
                                      "spiece.model",
                                      "tokenizer.json",
                                      "tokenizer.model",
                                      "tokenizer_config.json",
                                      "vocab.json"};
constexpr const char* kTemplateFolder = "additional_chat_templates";
constexpr uint64_t kMaxSideFileBytes = 512ull << 20;

// Members of config.json that say how the weights of the source were quantized, or where it lay.
constexpr const char* kSourceKeys[] = {"quantization", "quantization_config", "_name_or_path"};

class TensorLister {
 public:
  TensorLister(const Model& model, const Family& family, Fusing fusing)
      : model_(model),
        spec_(model.spec),
        family_(family),
        fused_(family.fused && fusing == Fusing::as_family),
        from_gguf_(model.checkpoint->format == Checkpoint::Format::gguf) {}

  std::vector<TargetTensor> list() {
    const Weights& weights = model_.weights;
    matrix(Role::token_embedding, -1, {weights.embedding});
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      add_layer(layer, weights.layers[static_cast<size_t>(layer)]);
    }
    norm(Role::final_norm, -1);
    if (!spec_.tied_embeddings) linear(Role::lm_head, -1, {&weights.lm_head});
    return std::move(out_);
  }

 private:
  std::string name_of(Role role, int64_t layer, std::string_view ending) const {
    const auto& second = family_.second_names;
    return hugging_face_name(role, std::find(second.begin(), second.end(), role) != second.end(),
                             layer, ending);
  }

  TargetTensor& add(Role role, int64_t layer, std::string_view ending, std::vector<int64_t> shape) {
    TargetTensor tensor;
    tensor.name = name_of(role, layer, ending);
    tensor.shape = std::move(shape);
    tensor.role = role;
    tensor.layer = layer;
    out_.push_back(std::move(tensor));
    return out_.back();
  }

  static TargetRows rows_of(const MatrixView& view) {
    return {.view = view, .order = RowOrder::natural, .head_rows = view.head_rows};
  }

  void matrix(Role role, int64_t layer, const std::vector<MatrixView>& views) {
    int64_t rows = 0;
    for (const MatrixView& view : views) rows += view.rows;
    TargetTensor& tensor = add(role, layer, ".weight", {rows, views.front().columns});
    for (const MatrixView& view : views) tensor.pieces.push_back(rows_of(view));
  }

  // One matrix of the rows of all `parts`, and their biases where they have some.
  void linear(Role role, int64_t layer, const std::vector<const Linear*>& parts) {
    std::vector<MatrixView> views;
    for (const Linear* part : parts) views.push_back(part->weight);
    matrix(role, layer, views);
    std::vector<float> bias;
    for (const Linear* part : parts) {
      if (part->bias.empty()) continue;
      const TargetRows rows = rows_of(part->weight);
      for (int64_t r = 0; r < rows.view.rows; ++r) {
        bias.push_back(part->bias[static_cast<size_t>(rows.source_row(r))]);
      }
    }
    if (!bias.empty()) vector(role, layer, ".bias", std::move(bias));
  }

  void vector(Role role, int64_t layer, std::string_view ending, std::vector<float> values) {
    const auto count = static_cast<int64_t>(values.size());
    add(role, layer, ending, {count}).values = std::move(values);
  }

  // As the file has it: what Weights hold may be the sum of that and 1, which is rounded.
  void norm(Role role, int64_t layer) {
    for (const char* ending : {".weight", ".bias"}) {
      const NamedTensor* tensor =
          find_role(*model_.checkpoint, role, std::max<int64_t>(layer, 0), ending);
      if (tensor == nullptr) continue;
      std::vector<float> values(static_cast<size_t>(tensor->view.elements()));
      decode_row(tensor->view.grid, tensor->view.bytes.data(), tensor->view.elements(),
                 values.data());
      if (from_gguf_ && family_.norm_weights_minus_one) {
        for (float& value : values) value -= 1.0f;
      }
      vector(role, layer, ending, std::move(values));
    }
  }

  void add_layer(int64_t layer, const LayerWeights& weights) {
    norm(Role::attention_norm, layer);
    if (fused_) {
      linear(Role::qkv, layer, {&weights.q, &weights.k, &weights.v});
    } else {
      linear(Role::q, layer, {&weights.q});
      linear(Role::k, layer, {&weights.k});
      linear(Role::v, layer, {&weights.v});
    }
    if (spec_.attention.qk_norm) {
      norm(Role::q_norm, layer);
      norm(Role::k_norm, layer);
    }
    linear(Role::attention_out, layer, {&weights.attention_out});
    if (spec_.norm_place == NormPlace::before_and_after) {
      norm(Role::attention_post_norm, layer);
    }
    if (spec_.block_order == BlockOrder::serial) norm(Role::mlp_norm, layer);
    if (!is_gated(spec_.mlp)) {
      linear(Role::up, layer, {&weights.up});
    } else if (fused_) {
      linear(Role::gate_up, layer, {&weights.gate, &weights.up});
    } else {
      linear(Role::gate, layer, {&weights.gate});
      linear(Role::up, layer, {&weights.up});
    }
    linear(Role::down, layer, {&weights.down});
    if (spec_.norm_place == NormPlace::before_and_after) {
      norm(Role::mlp_post_norm, layer);
    }
  }

  const Model& model_;
  const ModelSpec& spec_;
  const Family& family_;
  const bool fused_;
  const bool from_gguf_;
  std::vector<TargetTensor> out_;
};

// The side files of the folder in which the weights lie.
Result<std::vector<TargetFile>> copied_files(const Files& files, const Checkpoint& checkpoint) {
  const bool is_folder = files.kind(checkpoint.path) == FileKind::folder;
  const std::string folder = is_folder ? checkpoint.path : folder_of(checkpoint.path);
  std::vector<std::string> names(std::begin(kSideFiles), std::end(kSideFiles));
  const std::string templates = join_path(folder, kTemplateFolder);
  if (files.kind(templates) == FileKind::folder) {
    PHIAL_ASSIGN(const std::vector<std::string> inside, files.list(templates));
    for (const std::string& name : inside) {
      if (name.ends_with(".jinja")) names.push_back(join_path(kTemplateFolder, name));
    }
  }
  std::vector<TargetFile> out;
  for (const std::string& name : names) {
    const std::string path = join_path(folder, name);
    if (files.kind(path) == FileKind::none) continue;
    PHIAL_ASSIGN(std::string bytes, read_text(files, path, kMaxSideFileBytes));
    out.push_back({name, std::move(bytes)});
  }
  return out;
}

TargetFile generation_file(const GenerationDefaults& defaults, const TokenizerSpec& spec) {
  Json out{Json::Object()};  // of a model without any of these ids too
  const auto set = [&](const char* key, std::optional<int32_t> id) {
    if (id) out.set(key, static_cast<int64_t>(*id));
  };
  set("bos_token_id", spec.bos_id);
  if (defaults.end_ids.size() == 1) {
    set("eos_token_id", defaults.end_ids.front());
  } else if (!defaults.end_ids.empty()) {
    Json ids;
    for (const int32_t id : defaults.end_ids) ids.push(static_cast<int64_t>(id));
    out.set("eos_token_id", std::move(ids));
  }
  set("pad_token_id", spec.pad_id);
  return {"generation_config.json", to_text(out, 2) + "\n"};
}

// What a GGUF file's vocabulary and templates become; nothing where it has no vocabulary.
Result<std::vector<TargetFile>> made_files(const Model& model) {
  const Checkpoint& checkpoint = *model.checkpoint;
  if (!has_vocabulary(checkpoint)) return std::vector<TargetFile>();
  PHIAL_ASSIGN(const auto tokenizer, open_tokenizer(checkpoint));
  TokenizerSpec spec = tokenizer->spec();
  // A GGUF file cannot say that text is normalized. Qwen's tokenizers do, and transformers does it
  // for their model_type whatever tokenizer.json says.
  PHIAL_ASSIGN(const auto pre, checkpoint.gguf.string("tokenizer.ggml.pre"));
  if (pre == "qwen2" && spec.normalizer.empty()) {
    spec.normalizer.push_back(normalizer::Unicode{});
  }
  PHIAL_ASSIGN(const std::vector<NamedTemplate> templates, chat_templates(checkpoint));
  PHIAL_ASSIGN(const GenerationDefaults defaults, generation_defaults(checkpoint, tokenizer.get()));
  PHIAL_ASSIGN(std::vector<TargetFile> out,
               hf_tokenizer_files(spec, templates, model.spec.context, checkpoint.gguf.file));
  out.push_back(generation_file(defaults, spec));
  std::sort(out.begin(), out.end(),
            [](const TargetFile& a, const TargetFile& b) { return a.name < b.name; });
  return out;
}

Json without_source_keys(const Json& config) {
  Json::Object out;
  for (const auto& [key, value] : *config.if_object()) {
    const bool of_source = std::any_of(std::begin(kSourceKeys), std::end(kSourceKeys),
                                       [&name = key](const char* known) { return name == known; });
    if (!of_source) out.emplace_back(key, value);
  }
  return Json(std::move(out));
}

bool is_exact(uint32_t bits, float value) { return bits == std::bit_cast<uint32_t>(value); }

const char* torch_name(Grid dtype) {
  switch (dtype) {
    case Grid::f16:
      return "float16";
    case Grid::bf16:
      return "bfloat16";
    default:
      return "float32";
  }
}

}  // namespace

Result<HfTarget> hf_target(const Files& files, const Model& model, Fusing fusing) {
  HfTarget out;
  PHIAL_ASSIGN(const ModelConfig config, read_config(*model.checkpoint));
  PHIAL_ASSIGN(const Family* family, find_family(config.reader()));
  out.tensors = TensorLister(model, *family, fusing).list();
  if (model.checkpoint->format == Checkpoint::Format::gguf) {
    PHIAL_ASSIGN(out.config, config_to_hf(model));
    PHIAL_ASSIGN(out.files, made_files(model));
  } else {
    out.config = without_source_keys(model.checkpoint->config);
    PHIAL_ASSIGN(out.files, copied_files(files, *model.checkpoint));
  }
  return out;
}

Grid exact_float_grid(std::span<const float> values) {
  const auto all = [&](const auto& widened) {
    return std::all_of(values.begin(), values.end(), [&](float value) {
      return is_exact(std::bit_cast<uint32_t>(value), widened(value));
    });
  };
  if (all([](float value) { return bf16_to_f32(f32_to_bf16(value)); })) return Grid::bf16;
  if (all([](float value) { return f16_to_f32(f32_to_f16(value)); })) return Grid::f16;
  return Grid::f32;
}

TargetFile config_file(const Json& config, Grid dtype) {
  Json::Object out;
  bool is_new_style = false;  // transformers 5 says "dtype"
  for (const auto& [key, value] : *config.if_object()) {
    if (key == "torch_dtype") continue;
    is_new_style |= key == "dtype";
    out.emplace_back(key, key == "dtype" ? Json(torch_name(dtype)) : value);
  }
  if (!is_new_style) {
    const auto after = std::find_if(out.begin(), out.end(), [](const Json::Member& member) {
      return member.first > "torch_dtype";
    });
    out.insert(after, {"torch_dtype", Json(torch_name(dtype))});
  }
  return {"config.json", to_text(Json(std::move(out)), 2) + "\n"};
}

}  // namespace phial
