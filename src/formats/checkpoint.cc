#include "formats/checkpoint.h"

#include <algorithm>

#include "base/utf8.h"
#include "formats/gguf.h"
#include "formats/gguf_split.h"
#include "formats/safetensors.h"

namespace phial {
namespace {

constexpr uint64_t kMaxConfigBytes = 64ull << 20;
constexpr uint64_t kMaxTemplateBytes = 16ull << 20;
constexpr uint64_t kMaxTokenizerBytes = 512ull << 20;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kTokenizerName = "tokenizer.json";
constexpr const char* kTemplateFolder = "additional_chat_templates";
constexpr std::string_view kTemplateExtension = ".jinja";
constexpr size_t kMaxTemplates = 64;
constexpr const char* kSafetensorsExtension = ".safetensors";
constexpr const char* kGgufExtension = ".gguf";
constexpr const char* kReadableKinds =
    "phial reads .gguf and .safetensors files and folders that hold one of them";

class CheckpointReader {
 public:
  CheckpointReader(const Files& files, const std::string& path, const ReadOptions& options)
      : files_(files), path_(path), text_only_(options.text_only) {}

  Result<Checkpoint> read() {
    out_.path = path_;
    switch (files_.kind(path_)) {
      case FileKind::none:
        return not_found(path_, "no such file or folder");
      case FileKind::other:
        return unsupported(path_, "is a device, pipe or socket; only regular files are read");
      case FileKind::folder:
        PHIAL_TRY(read_folder());
        break;
      case FileKind::unreadable: {
        auto opened = files_.map(path_);  // says why
        if (!opened.ok() && opened.error().code == ErrorCode::io_error) return opened.error();
        return io_error(path_, "cannot be looked at", "check the permissions");
      }
      case FileKind::regular:
        PHIAL_TRY(read_file(path_));
        break;
    }
    std::sort(out_.tensors.begin(), out_.tensors.end(),
              [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
    return std::move(out_);
  }

 private:
  // By what it begins with; by its extension where that tells nothing.
  Status read_file(const std::string& file_path) {
    PHIAL_ASSIGN(std::shared_ptr<const MappedFile> file, files_.map(file_path));
    const std::span<const uint8_t> bytes = file->bytes();
    if (looks_like_gguf(bytes)) return read_gguf(std::move(file), file_path);
    if (looks_like_safetensors(bytes)) return read_safetensors(std::move(file), file_path);
    if (file_path.ends_with(kGgufExtension)) return read_gguf(std::move(file), file_path);
    if (file_path.ends_with(kSafetensorsExtension))
      return read_safetensors(std::move(file), file_path);
    const std::string name = file_name_of(file_path);
    if (name == kIndexName) return read_shards(folder_of(file_path));
    if (text_only_ && name.ends_with(".json")) return read_tokenizer_file(file_path);
    if (name == kTokenizerName) {
      return unsupported(file_path, "is a tokenizer without a model", kReadableKinds);
    }
    return unsupported(file_path, "is of an unknown kind", kReadableKinds);
  }

  Status read_gguf(std::shared_ptr<const MappedFile> file, const std::string& file_path) {
    PHIAL_ASSIGN(GgufContents contents, parse_gguf(file->bytes(), file_path, text_only_));
    out_.format = Checkpoint::Format::gguf;
    keep(std::move(file));
    if (!text_only_) {
      PHIAL_ASSIGN(std::vector<std::shared_ptr<const MappedFile>> parts,
                   append_gguf_parts(files_, file_path, contents));
      for (auto& part : parts) keep(std::move(part));
    }
    out_.gguf = std::move(contents.metadata);
    out_.tensors = std::move(contents.tensors);
    return {};
  }

  Status read_safetensors(std::shared_ptr<const MappedFile> file, const std::string& file_path) {
    if (!text_only_) {
      PHIAL_ASSIGN(out_.tensors, parse_safetensors(file->bytes(), file_path));
      keep(std::move(file));
    }
    return read_side_files(folder_of(file_path));
  }

  Status read_shards(const std::string& folder) {
    if (!text_only_) {
      PHIAL_ASSIGN(SafetensorsShards shards,
                   read_sharded_safetensors(files_, join_path(folder, kIndexName)));
      out_.tensors = std::move(shards.tensors);
      for (auto& mapping : shards.mappings) keep(std::move(mapping));
    }
    return read_side_files(folder);
  }

  // A file of another name than tokenizer.json stands for itself alone.
  Status read_tokenizer_file(const std::string& file_path) {
    if (file_name_of(file_path) == kTokenizerName) return read_side_files(folder_of(file_path));
    PHIAL_ASSIGN(out_.tokenizer_json, read_text(files_, file_path, kMaxTokenizerBytes));
    return {};
  }

  Status read_folder() {
    PHIAL_ASSIGN(const std::string model, model_in_folder());
    // A tokenizer beside safetensors needs none of the weights, not even whole ones.
    if (text_only_ && !model.ends_with(kGgufExtension)) return read_text_folder();
    if (model.empty()) return unsupported(path_, "holds no model", kReadableKinds);
    return read_file(join_path(path_, model));
  }

  // The file of a folder that is the model; empty when there is none.
  Result<std::string> model_in_folder() const {
    PHIAL_ASSIGN(const std::vector<std::string> names, files_.list(path_));
    for (const char* name : {kIndexName, kSingleName}) {
      if (std::binary_search(names.begin(), names.end(), name)) return std::string(name);
    }
    for (const char* extension : {kSafetensorsExtension, kGgufExtension}) {
      const auto ends = [&](const std::string& name) {
        return name.ends_with(extension) && !is_later_gguf_part(name);
      };
      const auto count = std::count_if(names.begin(), names.end(), ends);
      if (count == 1) return *std::find_if(names.begin(), names.end(), ends);
      if (count > 1 && !text_only_) {
        return unsupported(
            path_,
            "holds " + std::to_string(count) + " " + extension + " files and no " + kIndexName,
            "name the file that is meant");
      }
    }
    return std::string();
  }

  Status read_text_folder() {
    PHIAL_TRY(read_side_files(path_));
    if (out_.tokenizer_json.empty() && out_.vocab_json.empty() &&
        out_.sentence_piece_model.empty() && out_.tokenizer_config.is_null() &&
        out_.chat_template.empty() && out_.additional_chat_templates.empty()) {
      return unsupported(path_, "holds neither a model nor a tokenizer", kReadableKinds);
    }
    return {};
  }

  Status read_side_files(const std::string& folder) {
    PHIAL_ASSIGN(out_.config, read_json_object(join_path(folder, "config.json")));
    PHIAL_ASSIGN(out_.generation_config,
                 read_json_object(join_path(folder, "generation_config.json")));
    PHIAL_ASSIGN(out_.tokenizer_config,
                 read_json_object(join_path(folder, "tokenizer_config.json")));
    PHIAL_ASSIGN(out_.special_tokens_map,
                 read_json_object(join_path(folder, "special_tokens_map.json")));
    PHIAL_ASSIGN(out_.tokenizer_json,
                 read_optional_text(join_path(folder, kTokenizerName), kMaxTokenizerBytes));
    if (out_.tokenizer_json.empty()) PHIAL_TRY(read_slow_tokenizer(folder));
    PHIAL_TRY(read_additional_templates(join_path(folder, kTemplateFolder)));
    return read_chat_template(folder);
  }

  // The files from before tokenizer.json.
  Status read_slow_tokenizer(const std::string& folder) {
    for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
      PHIAL_ASSIGN(out_.sentence_piece_model,
                   read_optional_text(join_path(folder, name), kMaxTokenizerBytes));
      if (!out_.sentence_piece_model.empty()) break;
    }
    PHIAL_ASSIGN(out_.vocab_json,
                 read_optional_text(join_path(folder, "vocab.json"), kMaxTokenizerBytes));
    PHIAL_ASSIGN(out_.merges_txt,
                 read_optional_text(join_path(folder, "merges.txt"), kMaxTokenizerBytes));
    PHIAL_ASSIGN(out_.added_tokens, read_json_object(join_path(folder, "added_tokens.json")));
    return {};
  }

  // Empty when the file is absent.
  Result<std::string> read_template(const std::string& jinja) const {
    PHIAL_ASSIGN(std::string text, read_optional_text(jinja, kMaxTemplateBytes));
    if (const auto at = utf8::find_invalid(text)) {
      return damaged(jinja, "not valid UTF-8 at byte " + std::to_string(*at));
    }
    return text;
  }

  Status read_additional_templates(const std::string& folder) {
    if (files_.kind(folder) != FileKind::folder) return {};
    PHIAL_ASSIGN(const std::vector<std::string> names, files_.list(folder));
    for (const std::string& name : names) {
      if (!name.ends_with(kTemplateExtension)) continue;
      if (out_.additional_chat_templates.size() == kMaxTemplates) {
        return over_limit(folder,
                          "holds more than " + std::to_string(kMaxTemplates) + " templates");
      }
      PHIAL_ASSIGN(std::string text, read_template(join_path(folder, name)));
      out_.additional_chat_templates.emplace_back(
          name.substr(0, name.size() - kTemplateExtension.size()), std::move(text));
    }
    return {};
  }

  Status read_chat_template(const std::string& folder) {
    PHIAL_ASSIGN(out_.chat_template, read_template(join_path(folder, "chat_template.jinja")));
    if (!out_.chat_template.empty()) return {};
    const std::string json = join_path(folder, "chat_template.json");
    PHIAL_ASSIGN(const Json object, read_json_object(json));
    if (object.is_null()) return {};
    const Json* text = object.find("chat_template");
    if (text == nullptr || text->if_string() == nullptr) {
      return damaged(json, std::string("chat_template: expected a string, found ") +
                               (text == nullptr ? "nothing" : text->kind_name()));
    }
    out_.chat_template = *text->if_string();
    return {};
  }

  // Empty when the file is absent.
  Result<std::string> read_optional_text(const std::string& file_path, uint64_t max_bytes) const {
    if (files_.kind(file_path) == FileKind::none) return std::string();
    return read_text(files_, file_path, max_bytes);
  }

  // Null when the file is absent.
  Result<Json> read_json_object(const std::string& file_path) const {
    if (files_.kind(file_path) == FileKind::none) return Json();
    PHIAL_ASSIGN(const std::string text, read_text(files_, file_path, kMaxConfigBytes));
    PHIAL_ASSIGN(Json value, parse_json(text, file_path));
    if (value.if_object() == nullptr) {
      return damaged(file_path, std::string("expected a JSON object, found ") + value.kind_name());
    }
    return value;
  }

  // A mapping of weights lives as long as the checkpoint.
  void keep(std::shared_ptr<const MappedFile> file) {
    out_.file_bytes += file->bytes().size();
    out_.mappings.push_back(std::move(file));
  }

  const Files& files_;
  const std::string path_;
  const bool text_only_;
  Checkpoint out_;
};

}  // namespace

const NamedTensor* Checkpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const NamedTensor& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

Result<Checkpoint> read_checkpoint(const Files& files, const std::string& path,
                                   const ReadOptions& options) {
  if (is_unfinished(path)) {
    return damaged(path, "is what an interrupted run left, not a whole model",
                   "run it again: that also removes this");
  }
  return CheckpointReader(files, path, options).read();
}

}  // namespace phial
