#include "capi/open_model.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "engine/budgeted_decoder.h"
#include "engine/native_decoder.h"

namespace phial::capi {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// Where short names of models are looked up (XDG Base Directory Specification 0.8: a relative
// XDG_DATA_HOME is ignored). Empty when the environment names no place.
std::string models_folder() {
  if (std::string folder = environment("PHIAL_MODELS"); !folder.empty()) return folder;
  if (const std::string data = environment("XDG_DATA_HOME"); data.starts_with('/')) {
    return join_path(data, "phial/models");
  }
  if (const std::string home = environment("HOME"); !home.empty()) {
    return join_path(home, ".local/share/phial/models");
  }
  return {};
}

}  // namespace

Result<NumericsRequest> numerics_of(const char* compute, const char* kv) {
  NumericsRequest numerics;
  if (compute != nullptr) {
    PHIAL_ASSIGN(numerics.compute, compute_named(compute));
  }
  if (kv != nullptr) {
    PHIAL_ASSIGN(numerics.kv, kv_type_named(kv));
  }
  return numerics;
}

Result<std::string> locate_named_model(const Files& files, const std::string& name) {
  return locate_model(files, name, models_folder());
}

Result<std::shared_ptr<OpenModel>> OpenModel::open(std::shared_ptr<const Runtime> runtime,
                                                   const std::string& path, phial_load load,
                                                   const NumericsRequest& asked) {
  std::shared_ptr<OpenModel> open(new OpenModel);
  const Files& files = *runtime->files;
  PHIAL_ASSIGN(const std::string located, locate_named_model(files, path));
  ReadOptions options;
  options.text_only = load == PHIAL_LOAD_TEXT;
  PHIAL_ASSIGN(Checkpoint checkpoint, read_checkpoint(files, located, options));
  open->checkpoint_ = std::make_shared<const Checkpoint>(std::move(checkpoint));
  open->runtime_ = std::move(runtime);
  if (load == PHIAL_LOAD_ALL) {
    PHIAL_ASSIGN(open->model_, open_model(open->checkpoint_));
    const Numerics numerics = choose_numerics(asked, *open->runtime_, *open->model_);
    PHIAL_ASSIGN(auto native, make_native_decoder(open->runtime_, open->model_, numerics));
    PHIAL_ASSIGN(open->decoder_, with_memory_budget(std::move(native), open->runtime_,
                                                    open->model_->spec, numerics));
    open->numerics_ = numerics;
    open->tokenizer_or_null();
  }
  return open;
}

Result<std::shared_ptr<const Tokenizer>> OpenModel::tokenizer() {
  return tokenizer_.get([this] { return open_tokenizer(*checkpoint_); });
}

std::shared_ptr<const Tokenizer> OpenModel::tokenizer_or_null() {
  Result<std::shared_ptr<const Tokenizer>> found = tokenizer();
  return found.ok() ? std::move(found).value() : nullptr;
}

Result<std::shared_ptr<const ChatTemplate>> OpenModel::chat_template(std::string_view name,
                                                                     bool with_tools) {
  PHIAL_ASSIGN(const std::vector<NamedTemplate> sources,
               template_sources_.get([this] { return chat_templates(*checkpoint_); }));
  const std::string file = file_name_of(checkpoint_->path);
  if (sources.empty()) {
    return not_found(checkpoint_->path, "the model has no chat template",
                     "give a template, or use the prompt as it is");
  }
  Result<NamedTemplate> chosen = choose_chat_template(sources, name, with_tools);
  if (!chosen.ok()) {
    Error error = std::move(chosen).error();
    error.where = file + ": " + error.where;
    return error;
  }
  const std::lock_guard<std::mutex> lock(templates_mutex_);
  std::shared_ptr<const ChatTemplate>& parsed = templates_[chosen->name];
  if (parsed == nullptr) {
    const std::string where = sources.size() == 1
                                  ? file + ": chat template"
                                  : file + ": chat template " + printable(chosen->name, 60);
    PHIAL_ASSIGN(parsed, ChatTemplate::parse(chosen->source, where));
  }
  return parsed;
}

Json OpenModel::template_variables() {
  return phial::template_variables(*checkpoint_, tokenizer_or_null().get());
}

Result<GenerationDefaults> OpenModel::generation_defaults() {
  return phial::generation_defaults(*checkpoint_, tokenizer_or_null().get());
}

Result<std::shared_ptr<Decoder>> OpenModel::decoder(const char* function) const {
  if (decoder_ == nullptr) {
    return usage_error(function, "the model was loaded without its weights",
                       "load it with PHIAL_LOAD_ALL");
  }
  return std::shared_ptr<Decoder>(decoder_);
}

int64_t OpenModel::vocabulary(const Tokenizer& tokenizer) {
  const int64_t own = tokenizer.size();
  Result<int64_t> model = spec_vocabulary_.get([this]() -> Result<int64_t> {
    if (model_ != nullptr) return model_->spec.vocabulary;
    PHIAL_ASSIGN(const ModelSpec spec, model_spec_of(*checkpoint_));
    return spec.vocabulary;
  });
  return model.ok() ? std::max(own, *model) : own;
}

}  // namespace phial::capi
