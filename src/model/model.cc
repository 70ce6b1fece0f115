#include "model/model.h"

#include <fmt/format.h>

#include "model/family.h"

namespace phial {

Result<ModelSpec> model_spec_of(const Checkpoint& checkpoint) {
  PHIAL_ASSIGN(const ModelConfig config, read_config(checkpoint));
  const ConfigReader reader = config.reader();
  PHIAL_ASSIGN(const Family* family, find_family(reader));
  PHIAL_ASSIGN(ModelSpec spec, family->make_spec(reader));
  spec.family = family->name;
  spec.architecture = family->architecture;
  return spec;
}

Result<std::shared_ptr<const Model>> open_model(std::shared_ptr<const Checkpoint> checkpoint) {
  // As files of vocabularies alone are published, for use with tokenizers.
  if (checkpoint->format == Checkpoint::Format::gguf && checkpoint->tensors.empty()) {
    return unsupported(checkpoint->path, "holds only a vocabulary, no weights",
                       "it can be used with phial tokenize and phial template");
  }
  PHIAL_ASSIGN(const ModelConfig config, read_config(*checkpoint));
  PHIAL_ASSIGN(const Family* family, find_family(config.reader()));
  auto model = std::make_shared<Model>();
  PHIAL_ASSIGN(model->spec, model_spec_of(*checkpoint));
  PHIAL_ASSIGN(model->weights, bind_weights(*checkpoint, model->spec, *family));
  model->checkpoint = std::move(checkpoint);
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::string> locate_model(const Files& files, const std::string& name,
                                 const std::string& models_folder) {
  if (name.empty()) return usage_error("MODEL", "the name is empty");
  if (files.kind(name) != FileKind::none) return name;
  const bool short_name = name.find('/') == std::string::npos && name != "." && name != "..";
  std::string hint;
  if (short_name) {
    const std::string inside = join_path(models_folder, name);
    for (const std::string& candidate : {inside, inside + ".gguf"}) {
      if (files.kind(candidate) != FileKind::none) return candidate;
    }
    hint = fmt::format("neither a path nor a model in {}", models_folder);
    if (const auto names = files.list(models_folder); names.ok() && !names->empty()) {
      hint += fmt::format(", which holds: {}", fmt::join(*names, ", "));
    }
  } else {
    hint = "check the path";
  }
  return not_found(name, "no such file or folder", hint);
}

}  // namespace phial
