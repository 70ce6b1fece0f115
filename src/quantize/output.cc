#include "quantize/output.h"

#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"
#include "model/mlx_target.h"
#include "model/phial_target.h"
#include "quantize/recode.h"
#include "sys/files.h"

namespace phial {
namespace {

class GgufOutput final : public Output {
 public:
  explicit GgufOutput(GgufWriter writer) : writer_(std::move(writer)) {}
  Status append(std::span<const uint8_t> bytes) override { return writer_.append(bytes); }
  Result<uint64_t> commit() override {
    PHIAL_TRY(writer_.commit());
    return writer_.layout().file_bytes;
  }

 private:
  GgufWriter writer_;
};

Result<std::unique_ptr<Output>> open_gguf(const Files& files, const ConvertPlan& plan,
                                          const std::string& path) {
  std::vector<GgufTensor> tensors;
  for (const PlannedTensor& tensor : plan.tensors) {
    tensors.push_back({tensor.target.name, tensor.grid.grid, tensor.target.shape});
  }
  PHIAL_ASSIGN(GgufLayout layout, gguf_layout(plan.pairs, std::move(tensors)));
  PHIAL_ASSIGN(GgufWriter writer, GgufWriter::create(files, path, std::move(layout)));
  return std::unique_ptr<Output>(std::make_unique<GgufOutput>(std::move(writer)));
}

// Weights first, then the files beside them, config.json last: without it no reader takes the
// folder for a model.
class FolderOutput final : public Output {
 public:
  FolderOutput(const Files& files, const ConvertPlan& plan, std::unique_ptr<FolderWriter> folder,
               std::unique_ptr<SafetensorsWriter> writer, uint64_t weight_bytes)
      : files_(files),
        plan_(plan),
        folder_(std::move(folder)),
        writer_(std::move(writer)),
        bytes_(weight_bytes) {}

  Status append(std::span<const uint8_t> bytes) override { return writer_->append(bytes); }

  Result<uint64_t> commit() override {
    PHIAL_TRY(writer_->commit());
    bytes_ += writer_->index_bytes();
    for (const TargetFile& file : plan_.files) {
      if (const size_t slash = file.name.rfind('/'); slash != std::string::npos) {
        PHIAL_TRY(folder_->make_folder(file.name.substr(0, slash)));
      }
      PHIAL_ASSIGN(auto out, files_.create(join_path(folder_->path(), file.name)));
      PHIAL_TRY(
          out->append({reinterpret_cast<const uint8_t*>(file.bytes.data()), file.bytes.size()}));
      PHIAL_TRY(out->commit());
      bytes_ += file.bytes.size();
    }
    PHIAL_TRY(folder_->commit());
    return bytes_;
  }

 private:
  const Files& files_;
  const ConvertPlan& plan_;
  // In this order, so that the files' writers end before their folder does.
  std::unique_ptr<FolderWriter> folder_;
  std::unique_ptr<SafetensorsWriter> writer_;
  uint64_t bytes_;
};

// What safetensors files of MLX and of plain floats hold.
struct FolderContents {
  std::vector<SafetensorsTensor> tensors;
  SafetensorsOptions options;
};

Result<FolderContents> planes_of(const ConvertPlan& plan) {
  FolderContents out;
  int64_t parameters = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    PHIAL_ASSIGN(
        std::vector<SafetensorsTensor> planes,
        mlx_tensors(tensor.target, mlx_quantization(tensor.grid),
                    tensor.grid.has_planes() ? tensor.grid.scale_grid() : tensor.grid.grid));
    for (SafetensorsTensor& plane : planes) out.tensors.push_back(std::move(plane));
    parameters += tensor.weights();
  }
  if (plan.format == TargetFormat::mlx) {
    out.options.metadata = {{"format", "mlx"}};
    out.options.always_index = true;
    out.options.index_metadata = {{"total_parameters", Json(parameters)}};
  }
  return out;
}

// And packed files.
Result<FolderContents> panels_of(const ConvertPlan& plan) {
  FolderContents out;
  out.options.metadata = {{"format", "phial"}};
  out.options.alignment = kPackedAlignment;
  out.options.max_shard_bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const TargetTensor& target = tensor.target;
    if (tensor.grid.is_number()) {
      out.tensors.push_back({target.name, tensor.grid.grid, target.shape});
      continue;
    }
    PhialMatrix matrix;
    matrix.grid = tensor.grid.grid;
    matrix.rows = target.shape[0];
    matrix.columns = target.shape[1];
    matrix.in_panels = tensor.panels.has_value();
    if (tensor.grid.has_planes()) matrix.affine = tensor.grid.affine();
    PHIAL_ASSIGN(SafetensorsTensor stored, phial_tensor(target.name, matrix));
    out.tensors.push_back(std::move(stored));
    out.options.metadata.emplace_back(std::string(kSafetensorsDescription) + target.name,
                                      to_text(matrix));
  }
  return out;
}

Result<std::unique_ptr<Output>> open_folder(const Files& files, const ConvertPlan& plan,
                                            const std::string& path) {
  PHIAL_ASSIGN(const FolderContents contents,
               plan.format == TargetFormat::phial ? panels_of(plan) : planes_of(plan));
  const auto& [tensors, options] = contents;
  PHIAL_ASSIGN(auto folder, files.create_folder(path));
  const std::string weights = join_path(folder->path(), "model.safetensors");
  PHIAL_ASSIGN(const auto planned, plan_safetensors(weights, tensors, options));
  uint64_t bytes = 0;
  for (const SafetensorsFile& file : planned) bytes += file.bytes;
  PHIAL_ASSIGN(auto writer, SafetensorsWriter::create(files, weights, tensors, options));
  return std::unique_ptr<Output>(
      std::make_unique<FolderOutput>(files, plan, std::move(folder), std::move(writer), bytes));
}

// Says of an error of a writer that the folder to write into is missing.
Error explained(const Files& files, const std::string& path, const Error& error) {
  std::string name = path;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  const std::string folder = folder_of(name);
  if (error.code != ErrorCode::io_error || files.kind(folder) != FileKind::none) return error;
  return io_error(path, "cannot write: there is no folder " + folder, "mkdir -p " + folder);
}

}  // namespace

Result<std::unique_ptr<Output>> open_output(const Files& files, const ConvertPlan& plan,
                                            const std::string& place) {
  auto output = plan.format == TargetFormat::gguf ? open_gguf(files, plan, place)
                                                  : open_folder(files, plan, place);
  if (!output.ok()) return explained(files, place, output.error());
  return output;
}

Status try_output(const Files& files, TargetFormat format, const std::string& output) {
  PHIAL_ASSIGN(const std::string place, files.destination(output));
  if (format == TargetFormat::gguf) {
    const auto file = files.create(place);
    return file.ok() ? Status() : Status(explained(files, place, file.error()));
  }
  const auto folder = files.create_folder(place);
  return folder.ok() ? Status() : Status(explained(files, place, folder.error()));
}

Status check_output(const Files& files, const Checkpoint& source, const std::string& output,
                    const std::string& imatrix) {
  const auto out = files.canonical(output);
  // What is not there yet is nobody's; the writers say what is wrong with a path.
  if (!out.ok()) return {};
  const auto is_source = [&](const std::string& path) {
    const auto other = files.canonical(path);
    return other.ok() &&
           (other.value() == out.value() || other.value().starts_with(out.value() + "/"));
  };
  const std::string folder =
      files.kind(source.path) == FileKind::folder ? source.path : folder_of(source.path);
  bool same = is_source(source.path) || (!imatrix.empty() && is_source(imatrix));
  for (const NamedTensor& tensor : source.tensors) {
    if (same) break;
    if (!tensor.file.empty()) same = is_source(join_path(folder, tensor.file));
  }
  // The side files of a folder, whatever they are called; only a model of one's own may go.
  if (const auto home = files.canonical(folder);
      home.ok() && source.format != Checkpoint::Format::gguf && !output.ends_with(".gguf")) {
    same = same || out.value().starts_with(home.value() + "/");
  }
  if (same) {
    return usage_error(output, "the output is the source, or a part of it", "choose another name");
  }
  return {};
}

}  // namespace phial
