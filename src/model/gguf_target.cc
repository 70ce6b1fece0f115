#include "model/gguf_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/config_reader.h"
#include "model/family.h"
#include "model/gguf_target_parts.h"

namespace phial {
namespace {

struct FileType {
  std::string_view scheme;
  uint32_t number;
};
// enum llama_ftype.
constexpr FileType kFileTypes[] = {
    {"f32", 0},     {"f16", 1},     {"bf16", 32},    {"q4_0", 2},     {"q4_1", 3},
    {"q5_0", 8},    {"q5_1", 9},    {"q8_0", 7},     {"q2_k", 10},    {"q2_k_s", 21},
    {"q3_k_s", 11}, {"q3_k_m", 12}, {"q3_k_l", 13},  {"q4_k_s", 14},  {"q4_k_m", 15},
    {"q5_k_s", 16}, {"q5_k_m", 17}, {"q6_k", 18},    {"iq2_xxs", 19}, {"iq2_xs", 20},
    {"iq2_s", 28},  {"iq2_m", 29},  {"iq3_xxs", 23}, {"iq3_xs", 22},  {"iq3_s", 26},
    {"iq3_m", 27},  {"iq1_s", 24},  {"iq1_m", 31},   {"iq4_nl", 25},  {"iq4_xs", 30},
    {"tq1_0", 36},  {"tq2_0", 37},  {"mxfp4", 38},
};

constexpr uint32_t kQuantizationVersion = 2;  // GGML_QNT_VERSION

// "1.7B", "135M": at least two digits, as gguf-py's size_label.
std::string size_label(int64_t parameters) {
  constexpr std::pair<double, char> kUnits[] = {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}};
  const auto count = static_cast<double>(parameters);
  const auto* unit =
      std::ranges::find_if(kUnits, [count](const auto& u) { return count > u.first; });
  if (unit == std::end(kUnits)) --unit;
  const double scaled = count / unit->first;
  const int digits = scaled >= 9.5 ? 0 : scaled >= 0.5 ? 1 : 2;
  return fmt::format("{:.{}f}{}", scaled, digits, unit->second);
}

// What the author calls the model, else its folder or file.
std::string model_name(const Checkpoint& checkpoint) {
  std::string path;
  if (const Json* named = checkpoint.config.find("_name_or_path"); named && named->if_string()) {
    path = *named->if_string();
  }
  if (path.empty()) path = checkpoint.path;
  while (path.ends_with('/')) path.pop_back();
  if (path.ends_with(".safetensors") || path.ends_with(".json")) path = folder_of(path);
  const std::string name = file_name_of(path);
  return name == "." || name == ".." ? std::string() : name;
}

const GgufPair::Value* find_pair(const std::vector<GgufPair>& pairs, std::string_view key) {
  const auto found = std::ranges::find(pairs, key, &GgufPair::key);
  return found != pairs.end() ? &found->value : nullptr;
}

// Where in `name` llama.cpp sees Phi-3.
size_t find_phi3(const std::string& name) {
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::min(lower.find("phi-3"), lower.find("phi3"));
}

// By the name alone llama.cpp sees that special tokens take the white space to their right, as
// Phi-3's do; and does not load a file of that name whose vocabulary lacks one of four tokens. So
// the models that have them get the name, and others do not keep it.
void fit_name_to_tokens(std::string_view architecture, const std::vector<GgufPair>& text,
                        std::string& name) {
  const auto* value = find_pair(text, "tokenizer.ggml.tokens");
  const auto* tokens = value != nullptr ? std::get_if<std::vector<std::string>>(value) : nullptr;
  if (tokens == nullptr) return;
  const auto has = [tokens](std::string_view token) {
    return std::ranges::find(*tokens, token) != tokens->end();
  };
  const bool has_all = has("</s>") && has("<unk>") && has("<s>") && has("<|endoftext|>");
  const auto* model = std::get_if<std::string>(find_pair(text, "tokenizer.ggml.model"));
  const bool is_phi3 = architecture == "phi3" && has_all && *model == "llama";
  if (is_phi3 && find_phi3(name) == name.npos) name = name.empty() ? "Phi-3" : "Phi-3 " + name;
  while (!has_all && find_phi3(name) != name.npos) name.insert(find_phi3(name) + 3, " ");
}

std::vector<GgufPair> general_pairs(const Checkpoint& checkpoint, std::string_view architecture,
                                    const std::vector<GgufPair>& text) {
  std::vector<GgufPair> pairs = {{"general.architecture", std::string(architecture)},
                                 {"general.type", std::string("model")}};
  std::string name = model_name(checkpoint);
  fit_name_to_tokens(architecture, text, name);
  if (!name.empty()) pairs.push_back({"general.name", std::move(name)});
  return pairs;
}

void append(std::vector<GgufPair>& pairs, std::vector<GgufPair> more) {
  pairs.insert(pairs.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

// All but what says that it is one of several files.
std::vector<GgufPair> pairs_of_source(const GgufMetadata& metadata) {
  std::vector<GgufPair> pairs = gguf_pairs_of(metadata);
  std::erase_if(pairs, [](const GgufPair& pair) { return pair.key.starts_with("split."); });
  return pairs;
}

}  // namespace

Result<GgufTarget> gguf_target(const Model& model, const GgufTargetOptions& options) {
  const Checkpoint& checkpoint = *model.checkpoint;
  PHIAL_ASSIGN(const GgufArchitecture* architecture, gguf_architecture(model.spec));
  GgufTarget target;
  PHIAL_ASSIGN(target.tensors, gguf_target_tensors(model, *architecture));
  if (checkpoint.format == Checkpoint::Format::gguf) {
    target.pairs = pairs_of_source(checkpoint.gguf);
    if (!options.pre_tokenizer.empty()) {
      set_gguf_pair(target.pairs, "tokenizer.ggml.pre", options.pre_tokenizer);
    }
    return target;
  }
  PHIAL_ASSIGN(std::vector<GgufPair> text,
               gguf_text_pairs(checkpoint, model.spec.vocabulary, options));
  target.pairs = general_pairs(checkpoint, architecture->name, text);
  int64_t parameters = 0;
  for (const TargetTensor& tensor : target.tensors) {
    parameters += tensor.is_matrix() ? tensor.shape[0] * tensor.shape[1] : tensor.shape[0];
  }
  target.pairs.push_back({"general.size_label", size_label(parameters)});
  PHIAL_ASSIGN(std::vector<GgufPair> keys, gguf_model_pairs(model, *architecture));
  append(target.pairs, std::move(keys));
  append(target.pairs, std::move(text));
  return target;
}

Result<std::vector<GgufPair>> gguf_vocabulary_pairs(const Checkpoint& checkpoint,
                                                    const GgufTargetOptions& options) {
  if (checkpoint.format == Checkpoint::Format::gguf) return pairs_of_source(checkpoint.gguf);
  PHIAL_ASSIGN(std::vector<GgufPair> text, gguf_text_pairs(checkpoint, {}, options));
  // Without a configuration only the name that every llama.cpp knows is left.
  const Json* type = checkpoint.config.find("model_type");
  const bool is_phi3 = type != nullptr && type->if_string() && *type->if_string() == "phi3";
  std::vector<GgufPair> pairs = general_pairs(checkpoint, is_phi3 ? "phi3" : "llama", text);
  append(pairs, std::move(text));
  return pairs;
}

std::optional<uint32_t> gguf_file_type(std::string_view scheme) {
  const auto* known = std::ranges::find(kFileTypes, scheme, &FileType::scheme);
  if (known == std::end(kFileTypes)) return std::nullopt;
  return known->number;
}

void set_file_type(std::vector<GgufPair>& pairs, uint32_t file_type) {
  set_gguf_pair(pairs, "general.file_type", file_type);
  set_gguf_pair(pairs, "general.quantization_version", kQuantizationVersion);
}

}  // namespace phial
