// phial.hpp - phial.h for C++17: objects that free themselves, std::string and std::vector for
// results, errors as exceptions. No logic of its own; each function says what phial.h says.
//
//   phial::Context context;
//   phial::Model model(context, "model.gguf");
//   phial::Sequence sequence(model);
//   sequence.append(model.tokenize("Once upon a time"));
//   phial::Generation story = sequence.generate();
//   std::cout << model.detokenize(story.ids) << '\n';
#ifndef PHIAL_PHIAL_HPP_
#define PHIAL_PHIAL_HPP_

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "phial/phial.h"

namespace phial {
// Names of its own for the linker: the library's own C++ types live in the same namespace.
inline namespace hpp {

class Error : public std::exception {
 public:
  explicit Error(phial_error* error) : error_(error, phial_error_free) {}
  Error(const std::string& code, const std::string& where, const std::string& message,
        const std::string& hint = {})
      : Error(phial_error_create(code.c_str(), where.c_str(), message.c_str(), hint.c_str())) {}

  const char* what() const noexcept override { return phial_error_text(error_.get()); }
  const char* code() const noexcept { return phial_error_code(error_.get()); }
  int exit_code() const noexcept { return phial_error_exit_code(error_.get()); }
  const char* message() const noexcept { return phial_error_message(error_.get()); }
  const char* where() const noexcept { return phial_error_where(error_.get()); }
  const char* hint() const noexcept { return phial_error_hint(error_.get()); }

 private:
  std::shared_ptr<phial_error> error_;
};

namespace detail {

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const noexcept { Free(object); }
};
template <class T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Free>>;

using Buffer = Handle<phial_buffer, phial_buffer_free>;

inline void check(phial_error* error) {
  if (error != nullptr) throw Error(error);
}

inline std::string take_text(phial_buffer* raw) {
  const Buffer buffer(raw);
  return {static_cast<const char*>(phial_buffer_data(raw)), phial_buffer_bytes(raw)};
}

inline std::vector<int32_t> take_ids(phial_buffer* raw) {
  const Buffer buffer(raw);
  const auto* ids = static_cast<const int32_t*>(phial_buffer_data(raw));
  return {ids, ids + phial_buffer_bytes(raw) / sizeof(int32_t)};
}

}  // namespace detail

inline std::string version() { return phial_version(); }

inline std::string errors_json() {
  phial_buffer* json = nullptr;
  detail::check(phial_errors_json(&json));
  return detail::take_text(json);
}

inline void check_text(std::string_view text, const std::string& where) {
  detail::check(phial_text_check(text.data(), text.size(), where.c_str()));
}

inline std::string npy_header(uint64_t rows, uint64_t columns) {
  phial_buffer* header = nullptr;
  detail::check(phial_npy_header(rows, columns, &header));
  return detail::take_text(header);
}

class Context {
 public:
  // `threads` 0 and an empty `isa` choose what suits the machine; `max_memory` 0 sets no limit.
  explicit Context(int32_t threads = 0, const std::string& isa = {}, uint64_t max_memory = 0) {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.isa = isa.c_str();
    options.max_memory = max_memory;
    phial_context* context = nullptr;
    detail::check(phial_context_create(&options, &context));
    handle_.reset(context);
  }

  std::string doctor_json() const {
    phial_buffer* json = nullptr;
    detail::check(phial_doctor_json(handle_.get(), &json));
    return detail::take_text(json);
  }

  phial_context* get() const { return handle_.get(); }

 private:
  detail::Handle<phial_context, phial_context_free> handle_;
};

struct TemplateOptions {
  // Used instead of the model's template when has_template is set.
  std::string template_text;
  bool has_template = false;
  // JSON texts; empty: none.
  std::string tools_json;
  std::string variables_json;
  bool add_generation_prompt = true;
};

namespace detail {

inline std::string render(phial_model* model, std::string_view messages_json,
                          const TemplateOptions& options) {
  phial_template_options c_options = PHIAL_TEMPLATE_OPTIONS_INIT;
  if (options.has_template) {
    c_options.template_text = options.template_text.c_str();
    c_options.template_bytes = options.template_text.size();
  }
  if (!options.tools_json.empty()) {
    c_options.tools_json = options.tools_json.c_str();
    c_options.tools_bytes = options.tools_json.size();
  }
  if (!options.variables_json.empty()) {
    c_options.variables_json = options.variables_json.c_str();
    c_options.variables_bytes = options.variables_json.size();
  }
  c_options.add_generation_prompt = options.add_generation_prompt ? 1 : 0;
  phial_buffer* prompt = nullptr;
  check(phial_template_render(model, messages_json.data(), messages_json.size(), &c_options,
                              &prompt));
  return take_text(prompt);
}

}  // namespace detail

// With a template of the caller's and no model.
inline std::string render_template(std::string_view messages_json, const TemplateOptions& options) {
  return detail::render(nullptr, messages_json, options);
}

class Model {
 public:
  Model(const Context& context, const std::string& path, phial_load load = PHIAL_LOAD_ALL) {
    phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
    options.load = load;
    phial_model* model = nullptr;
    detail::check(phial_model_load(context.get(), path.c_str(), &options, &model));
    handle_.reset(model);
  }

  std::string info_json(bool with_tensors = false) const {
    phial_buffer* json = nullptr;
    detail::check(phial_model_info_json(handle_.get(), with_tensors ? 1 : 0, &json));
    return detail::take_text(json);
  }

  std::vector<int32_t> tokenize(std::string_view text, bool special_tokens = true) const {
    phial_buffer* ids = nullptr;
    detail::check(
        phial_tokenize(handle_.get(), text.data(), text.size(), special_tokens ? 1 : 0, &ids));
    return detail::take_ids(ids);
  }

  std::string detokenize(const std::vector<int32_t>& ids, bool skip_special_tokens = false) const {
    phial_buffer* text = nullptr;
    detail::check(phial_detokenize(handle_.get(), ids.data(), ids.size(),
                                   skip_special_tokens ? 1 : 0, &text));
    return detail::take_text(text);
  }

  std::string piece(int32_t id) const {
    phial_buffer* piece = nullptr;
    detail::check(phial_token_piece(handle_.get(), id, &piece));
    return detail::take_text(piece);
  }

  std::string render(std::string_view messages_json, const TemplateOptions& options = {}) const {
    return detail::render(handle_.get(), messages_json, options);
  }

  phial_sampling sampling() const {
    phial_sampling sampling = PHIAL_SAMPLING_INIT;
    detail::check(phial_model_sampling(handle_.get(), &sampling));
    return sampling;
  }

  phial_model* get() const { return handle_.get(); }

 private:
  detail::Handle<phial_model, phial_model_free> handle_;
};

class Detokenizer {
 public:
  explicit Detokenizer(const Model& model, bool skip_special_tokens = false) {
    phial_detokenizer* detokenizer = nullptr;
    detail::check(phial_detokenizer_create(model.get(), skip_special_tokens ? 1 : 0, &detokenizer));
    handle_.reset(detokenizer);
  }

  std::string push(int32_t id) {
    phial_buffer* text = nullptr;
    detail::check(phial_detokenizer_push(handle_.get(), id, &text));
    return detail::take_text(text);
  }

  std::string finish() {
    phial_buffer* text = nullptr;
    detail::check(phial_detokenizer_finish(handle_.get(), &text));
    return detail::take_text(text);
  }

 private:
  detail::Handle<phial_detokenizer, phial_detokenizer_free> handle_;
};

struct Generation {
  std::vector<int32_t> ids;  // new ones only, the end token included
  phial_finish finish = PHIAL_FINISH_STOP;
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
};

// Logits that belong to a sequence, [rows, vocabulary].
struct LogitsView {
  float* values = nullptr;
  int64_t rows = 0;
  int64_t vocabulary = 0;
};

class Sequence {
 public:
  // Gets each new id and the text that became certain with it; false stops the generation.
  using OnToken = std::function<bool(int32_t id, std::string_view text)>;

  explicit Sequence(const Model& model, int64_t context = 0) {
    phial_sequence_options options = PHIAL_SEQUENCE_OPTIONS_INIT;
    options.context = context;
    phial_sequence* sequence = nullptr;
    detail::check(phial_sequence_create(model.get(), &options, &sequence));
    handle_.reset(sequence);
  }

  int64_t length() const { return phial_sequence_length(handle_.get()); }

  void append(const std::vector<int32_t>& ids) {
    detail::check(phial_sequence_append(handle_.get(), ids.data(), ids.size()));
  }

  void compute_logits(phial_logits_rows rows = PHIAL_LOGITS_LAST) {
    detail::check(phial_sequence_compute_logits(handle_.get(), rows));
  }

  LogitsView logits() {
    LogitsView view;
    detail::check(phial_sequence_logits(handle_.get(), &view.values, &view.rows, &view.vocabulary));
    return view;
  }

  int32_t sample(const phial_sampling& sampling) {
    int32_t id = 0;
    detail::check(phial_sequence_sample(handle_.get(), &sampling, &id));
    return id;
  }

  void rewind(int64_t length) { detail::check(phial_sequence_rewind(handle_.get(), length)); }

  Sequence fork() {
    phial_sequence* fork = nullptr;
    detail::check(phial_sequence_fork(handle_.get(), &fork));
    return Sequence(fork);
  }

  void cancel() { phial_sequence_cancel(handle_.get()); }

  // `options` without on_token and user, which carry `on_token` here. What `on_token` throws comes
  // out of this call.
  Generation generate(phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT,
                      const OnToken& on_token = {}) {
    struct Call {
      const OnToken& on_token;
      std::exception_ptr thrown;
    } call{on_token, nullptr};
    if (on_token) {
      options.user = &call;
      options.on_token = [](void* user, int32_t id, const char* text, size_t bytes) -> int {
        auto* self = static_cast<Call*>(user);
        try {
          return self->on_token(id, std::string_view(text, bytes)) ? 0 : 1;
        } catch (...) {
          self->thrown = std::current_exception();
          return 1;
        }
      };
    }
    Generation result;
    phial_buffer* ids = nullptr;
    phial_error* error =
        phial_generate(handle_.get(), &options, &ids, &result.finish, &result.stats);
    if (error == nullptr) result.ids = detail::take_ids(ids);
    if (call.thrown) {
      phial_error_free(error);
      std::rethrow_exception(call.thrown);
    }
    detail::check(error);
    return result;
  }

  phial_sequence* get() const { return handle_.get(); }

 private:
  explicit Sequence(phial_sequence* sequence) : handle_(sequence) {}

  detail::Handle<phial_sequence, phial_sequence_free> handle_;
};

}  // namespace hpp
}  // namespace phial

#endif  // PHIAL_PHIAL_HPP_
