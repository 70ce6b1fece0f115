#include "eval/reports.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "model/mlx_weights.h"
#include "model/model.h"
#include "model/phial_weights.h"
#include "sys/cpu.h"
#include "sys/memory.h"

namespace phial {
namespace {

Json integer_or_null(std::optional<int64_t> value) { return value ? Json(*value) : Json(); }

// The first of `keys` that config.json holds as an integer, also below text_config (the language
// part of a model with several).
std::optional<int64_t> config_integer(const Json& config,
                                      std::initializer_list<std::string_view> keys) {
  const Json* places[] = {&config, config.find("text_config")};
  for (const Json* place : places) {
    if (place == nullptr) continue;
    for (const std::string_view key : keys) {
      const Json* value = place->find(key);
      if (value != nullptr && value->if_integer() != nullptr) return *value->if_integer();
    }
  }
  return std::nullopt;
}

std::optional<std::string> architecture_of(const Checkpoint& checkpoint) {
  if (checkpoint.format == Checkpoint::Format::gguf) {
    const Result<std::optional<std::string_view>> name =
        checkpoint.gguf.string("general.architecture");
    if (name.ok() && *name) return std::string(**name);
    return std::nullopt;
  }
  if (const Json* list = checkpoint.config.find("architectures")) {
    const Json::Array* names = list->if_array();
    if (names != nullptr && !names->empty() && names->front().if_string() != nullptr) {
      return *names->front().if_string();
    }
  }
  const Json* type = checkpoint.config.find("model_type");
  if (type != nullptr && type->if_string() != nullptr) return *type->if_string();
  return std::nullopt;
}

// What a supported model's spec says, else what the files say by their usual names.
struct Sizes {
  std::optional<int64_t> context;
  std::optional<int64_t> vocabulary;
};

Sizes gguf_sizes(const GgufMetadata& gguf, const std::optional<std::string>& architecture) {
  Sizes sizes;
  if (architecture) {
    const auto context = gguf.integer(*architecture + ".context_length");
    if (context.ok()) sizes.context = *context;
    const auto vocabulary = gguf.integer(*architecture + ".vocab_size");
    if (vocabulary.ok()) sizes.vocabulary = *vocabulary;
  }
  const auto tokens = gguf.strings("tokenizer.ggml.tokens");
  if (!sizes.vocabulary && tokens.ok() && *tokens != nullptr) {
    sizes.vocabulary = static_cast<int64_t>((*tokens)->size());
  }
  return sizes;
}

Sizes sizes_of(const Checkpoint& checkpoint, const std::optional<std::string>& architecture) {
  const Result<ModelSpec> spec = model_spec_of(checkpoint);
  if (spec.ok()) return {spec->context, spec->vocabulary};
  if (checkpoint.format == Checkpoint::Format::gguf) {
    return gguf_sizes(checkpoint.gguf, architecture);
  }
  return {config_integer(checkpoint.config, {"max_position_embeddings", "n_positions", "n_ctx"}),
          config_integer(checkpoint.config, {"vocab_size"})};
}

struct GridShare {
  uint64_t bytes = 0;
  int64_t parameters = 0;
  int64_t tensors = 0;
};

// What a tensor is stored in and how many weights it holds; of an MLX matrix its planes together.
MlxPart part_of(const Checkpoint& checkpoint, const NamedTensor& tensor) {
  if (is_described(tensor)) {
    const Result<PhialMatrix> matrix = phial_matrix(tensor);
    if (matrix.ok()) return {grid_name(*matrix), matrix->rows * matrix->columns};
  }
  if (std::optional<MlxPart> part = mlx_part(checkpoint, tensor)) return *std::move(part);
  return {grid_info(tensor.view.grid).name, tensor.view.elements()};
}

// The grid that holds most bytes of the matrices; vectors (norms, biases) stay out, because they
// are kept in full precision in every scheme.
Json predominant_grid(const Checkpoint& checkpoint) {
  std::map<std::string, uint64_t> bytes;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    if (tensor.view.shape.size() < 2) continue;
    bytes[part_of(checkpoint, tensor).grid] += tensor.view.bytes.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? Json() : Json(most->first);
}

// In the order of the grids; those of MLX last.
Json grid_shares(const Checkpoint& checkpoint) {
  std::map<std::pair<Grid, std::string>, GridShare> shares;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    const MlxPart part = part_of(checkpoint, tensor);
    const bool is_grid = part.grid == grid_info(tensor.view.grid).name;
    GridShare& share = shares[{is_grid ? tensor.view.grid : Grid::u64, part.grid}];
    share.bytes += tensor.view.bytes.size();
    share.parameters += part.weights;
    ++share.tensors;
  }
  Json out{Json::Array()};
  for (const auto& [key, share] : shares) {
    Json entry;
    entry.set("name", key.second);
    entry.set("tensors", share.tensors);
    entry.set("parameters", share.parameters);
    entry.set("bytes", share.bytes);
    out.push(std::move(entry));
  }
  return out;
}

Json tensor_list(const Checkpoint& checkpoint) {
  Json out{Json::Array()};
  for (const NamedTensor& tensor : checkpoint.tensors) {
    Json shape{Json::Array()};
    for (const int64_t extent : tensor.view.shape) shape.push(extent);
    Json entry;
    entry.set("name", tensor.name);
    entry.set("dtype", tensor.dtype);
    entry.set("shape", std::move(shape));
    entry.set("bytes", static_cast<uint64_t>(tensor.view.bytes.size()));
    out.push(std::move(entry));
  }
  return out;
}

const char* format_name(const Checkpoint& checkpoint) {
  if (is_packed_file(checkpoint)) return "phial";
  if (is_mlx_quantized(checkpoint)) return "mlx";
  switch (checkpoint.format) {
    case Checkpoint::Format::safetensors:
      return "safetensors";
    case Checkpoint::Format::gguf:
      return "gguf";
  }
  return "unknown";
}

}  // namespace

Json model_info(const Checkpoint& checkpoint, bool with_tensors) {
  const std::optional<std::string> architecture = architecture_of(checkpoint);
  const Sizes sizes = sizes_of(checkpoint, architecture);
  int64_t parameters = 0;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    parameters += part_of(checkpoint, tensor).weights;
  }

  Json info;
  info.set("format", format_name(checkpoint));
  info.set("architecture", architecture ? Json(*architecture) : Json());
  info.set("parameters", parameters);
  info.set("context_length", integer_or_null(sizes.context));
  info.set("vocabulary_size", integer_or_null(sizes.vocabulary));
  info.set("quantization", predominant_grid(checkpoint));
  info.set("bytes", checkpoint.file_bytes);
  info.set("grids", grid_shares(checkpoint));
  if (with_tensors) info.set("tensors", tensor_list(checkpoint));
  return info;
}

Json doctor_report(const Runtime& runtime, std::string_view version) {
  const CpuInfo cpu = probe_cpu();
  Json features;
  features.set("avx2", cpu.avx2);
  features.set("avx512", cpu.avx512);
  features.set("avx_vnni", cpu.avx_vnni);
  features.set("avx512_vnni", cpu.avx512_vnni);
  features.set("avx512_bf16", cpu.avx512_bf16);
  features.set("dotprod", cpu.dotprod);
  features.set("i8mm", cpu.i8mm);
  Json cpu_report;
  cpu_report.set("brand", cpu.brand);
  cpu_report.set("physical_cores", cpu.physical_cores);
  cpu_report.set("logical_cores", cpu.logical_cores);
  cpu_report.set("features", std::move(features));

  Json available{Json::Array()};
  Json built{Json::Array()};
  for (const KernelTable* table : kernel_tables()) {
    built.push(table->isa);
    if (is_supported(*table)) available.push(table->isa);
  }
  Json isa;
  isa.set("chosen", runtime.kernels->isa);
  isa.set("available", std::move(available));
  isa.set("built", std::move(built));

  const MemoryInfo memory = machine_memory();
  Json memory_report;
  memory_report.set("total_bytes", memory.total);
  memory_report.set("available_bytes", memory.available);

  Json backends{Json::Array()};
  backends.push("cpu");

  Json report;
  report.set("version", version);
  report.set("cpu", std::move(cpu_report));
  report.set("isa", std::move(isa));
  report.set("memory", std::move(memory_report));
  report.set("threads", runtime.threads->size());
  report.set("backends", std::move(backends));
  return report;
}

Json error_list() {
  Json out{Json::Array()};
  for (const ErrorInfo& info : error_table()) {
    Json entry;
    entry.set("code", info.name);
    entry.set("exit_code", info.exit_code);
    entry.set("meaning", info.meaning);
    out.push(std::move(entry));
  }
  return out;
}

}  // namespace phial
