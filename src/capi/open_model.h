// What stands behind phial_model: a checkpoint with what is made from it, some at once, some when
// it is first asked for.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/decoder.h"
#include "engine/numerics.h"
#include "engine/runtime.h"
#include "model/model.h"
#include "phial/phial.h"

struct phial_context {
  std::shared_ptr<const phial::Runtime> runtime;
};

namespace phial::capi {

// A value that is made when first asked for; what came out, value or error, is kept, unless there
// was no memory to make it. Thread safe.
template <class T>
class Lazy {
 public:
  template <class Make>
  Result<T> get(Make&& make) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!result_) {
      Result<T> made = make();
      if (!made.ok() && made.error().code == ErrorCode::out_of_memory) return made;
      result_.emplace(std::move(made));
    }
    if (!result_->ok()) return Error(result_->error());
    return T(result_->value());
  }

 private:
  std::mutex mutex_;
  std::optional<Result<T>> result_;
};

// By name; null: not asked for.
Result<NumericsRequest> numerics_of(const char* compute, const char* kv);

// The path of a model that may be called by its short name (locate_model).
Result<std::string> locate_named_model(const Files& files, const std::string& name);

// Thread safe.
class OpenModel {
 public:
  // Everything that `load` promises is opened, but a tokenizer or template that is missing, broken
  // or not supported is an error only when it is asked for: logits need neither.
  static Result<std::shared_ptr<OpenModel>> open(std::shared_ptr<const Runtime> runtime,
                                                 const std::string& path, phial_load load,
                                                 const NumericsRequest& asked);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  // Null without weights.
  const std::shared_ptr<const Model>& model() const { return model_; }
  // What weights are computed in.
  const Numerics& numerics() const { return numerics_; }
  const Files& files() const { return *runtime_->files; }
  Result<std::shared_ptr<const Tokenizer>> tokenizer();
  // The template called `name`; without a name the one for prompts with or without tools (see
  // choose_chat_template). not_found when the model has none or none of that name.
  Result<std::shared_ptr<const ChatTemplate>> chat_template(std::string_view name, bool with_tools);
  // Special tokens that templates see; without a tokenizer, those that the files name.
  Json template_variables();
  Result<GenerationDefaults> generation_defaults();
  // usage unless the model was loaded with its weights.
  Result<std::shared_ptr<Decoder>> decoder(const char* function) const;
  // One more than the largest id of the model or its tokenizer: ids between the two are padding
  // rows of the logits, which have no text.
  int64_t vocabulary(const Tokenizer& tokenizer);

 private:
  OpenModel() = default;
  // The tokenizer if there is a usable one, else null.
  std::shared_ptr<const Tokenizer> tokenizer_or_null();

  std::shared_ptr<const Runtime> runtime_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<const Model> model_;  // with weights only
  std::shared_ptr<Decoder> decoder_;    // with weights only
  Numerics numerics_;
  Lazy<std::shared_ptr<const Tokenizer>> tokenizer_;
  Lazy<std::vector<NamedTemplate>> template_sources_;
  std::mutex templates_mutex_;
  std::map<std::string, std::shared_ptr<const ChatTemplate>> templates_;  // those in use, by name
  Lazy<int64_t> spec_vocabulary_;
};

}  // namespace phial::capi

struct phial_model {
  std::shared_ptr<phial::capi::OpenModel> open;
};
