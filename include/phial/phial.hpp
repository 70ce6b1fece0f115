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
#include <optional>
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
  // Which of the model's templates; empty: chosen by whether there are tools.
  std::string template_name;
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
  if (!options.template_name.empty()) c_options.template_name = options.template_name.c_str();
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
  Model(const Context& context, const std::string& path, phial_load load = PHIAL_LOAD_ALL)
      : Model(context, path, [load] {
          phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
          options.load = load;
          return options;
        }()) {}

  Model(const Context& context, const std::string& path, const phial_model_options& options) {
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

  // A benchmark of this model's tokenizer; an empty text: made-up English.
  std::string bench_tokenizer_json(const Context& context, std::string_view text,
                                   int32_t rounds) const {
    phial_bench_options options = PHIAL_BENCH_OPTIONS_INIT;
    options.rounds = rounds;
    options.text = text.empty() ? nullptr : text.data();
    options.text_bytes = text.size();
    phial_buffer* json = nullptr;
    detail::check(phial_bench_json(context.get(), handle_.get(), &options, &json));
    return detail::take_text(json);
  }

  phial_model* get() const { return handle_.get(); }

 private:
  detail::Handle<phial_model, phial_model_free> handle_;
};

// A benchmark that opens its own model, or makes one (PHIAL_BENCH_MODEL); the report as JSON.
inline std::string bench_model_json(const Context& context, phial_bench_options options) {
  options.what = PHIAL_BENCH_MODEL;
  phial_buffer* json = nullptr;
  detail::check(phial_bench_json(context.get(), nullptr, &options, &json));
  return detail::take_text(json);
}

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

// What a generation may be asked for, with lists that own what they hold; phial_generate_options
// says what each field means. Empty lists and optionals: the model's.
struct GenerateOptions {
  // Fields without a list, their callbacks excepted, as phial.h has them.
  phial_generate_options plain = PHIAL_GENERATE_OPTIONS_INIT;
  std::optional<phial_sampling> sampling;
  std::vector<std::pair<std::vector<int32_t>, float>> biases;
  std::vector<std::vector<int32_t>> bad_words;
  std::vector<std::string> stop_strings;
  // Changes the scores of the next token: output, tokens so far, scores, how many scores.
  std::function<void(size_t output, const int32_t* tokens, size_t token_count, float* scores,
                     size_t vocabulary)>
      on_scores;
};

struct TokenLogprobs {
  phial_logprob chosen = {};
  std::vector<phial_logprob> top;
};

struct Answer {
  std::vector<int32_t> ids;  // new ones only, the end token included
  std::string text;
  phial_finish finish = PHIAL_FINISH_STOP;
  float score = 0;
  std::vector<TokenLogprobs> logprobs;  // of each id, when asked for
};

struct Answers {
  std::vector<Answer> outputs;
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
};

// Logits that belong to a sequence, [rows, vocabulary].
struct LogitsView {
  float* values = nullptr;
  int64_t rows = 0;
  int64_t vocabulary = 0;
};

namespace detail {

inline Answers take_answers(phial_outputs* raw) {
  const Handle<phial_outputs, phial_outputs_free> outputs(raw);
  Answers answers;
  check(phial_outputs_stats(raw, &answers.stats));
  for (size_t i = 0; i < phial_outputs_count(raw); ++i) {
    phial_output output = PHIAL_OUTPUT_INIT;
    check(phial_outputs_get(raw, i, &output));
    Answer answer;
    answer.ids.assign(output.ids, output.ids + output.id_count);
    answer.text.assign(output.text, output.text_bytes);
    answer.finish = output.finish;
    answer.score = output.score;
    TokenLogprobs token;
    const phial_logprob* top = nullptr;
    size_t top_count = 0;
    for (size_t t = 0; t < output.id_count; ++t) {
      phial_error* error = phial_outputs_logprobs(raw, i, t, &token.chosen, &top, &top_count);
      if (error != nullptr) {  // not asked for
        phial_error_free(error);
        break;
      }
      token.top.assign(top, top + top_count);
      answer.logprobs.push_back(token);
    }
    answers.outputs.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace detail

class Sequence;

// Lends the lists of GenerateOptions and C++ callbacks to C; must outlive the call. What a callback
// throws is kept.
class GenerateArguments {
 public:
  // Gets each new id and the text that became certain with it; false stops the generation.
  using OnToken = std::function<bool(int32_t id, std::string_view text)>;

  GenerateArguments(const GenerateOptions& options, const OnToken& on_token)
      : c_options(options.plain), options_(options), on_token_(on_token) {
    if (options.sampling) c_options.sampling = &*options.sampling;
    for (const auto& [ids, bias] : options.biases) {
      biases_.push_back({ids.data(), ids.size(), bias});
    }
    for (const auto& ids : options.bad_words) bad_words_.push_back({ids.data(), ids.size()});
    for (const std::string& text : options.stop_strings)
      stops_.push_back({text.data(), text.size()});
    if (!biases_.empty()) c_options.biases = biases_.data();
    if (!biases_.empty()) c_options.bias_count = biases_.size();
    if (!bad_words_.empty()) c_options.bad_words = bad_words_.data();
    if (!bad_words_.empty()) c_options.bad_word_count = bad_words_.size();
    if (!stops_.empty()) c_options.stop_strings = stops_.data();
    if (!stops_.empty()) c_options.stop_string_count = stops_.size();
    if (on_token || options.on_scores) c_options.user = this;
    if (on_token) c_options.on_token = call_on_token;
    if (options.on_scores) c_options.on_scores = call_on_scores;
  }
  GenerateArguments(const GenerateArguments&) = delete;
  GenerateArguments& operator=(const GenerateArguments&) = delete;

  // Throws what a callback threw, else `error` if there is one.
  void check(phial_error* error) {
    if (thrown_) {
      phial_error_free(error);
      std::rethrow_exception(thrown_);
    }
    detail::check(error);
  }

  phial_generate_options c_options;

 private:
  static int call_on_token(void* user, int32_t id, const char* text, size_t bytes) {
    auto* self = static_cast<GenerateArguments*>(user);
    try {
      return self->on_token_(id, std::string_view(text, bytes)) ? 0 : 1;
    } catch (...) {
      self->thrown_ = std::current_exception();
      return 1;
    }
  }
  static int call_on_scores(void* user, size_t output, const int32_t* tokens, size_t token_count,
                            float* scores, size_t vocabulary) {
    auto* self = static_cast<GenerateArguments*>(user);
    try {
      self->options_.on_scores(output, tokens, token_count, scores, vocabulary);
      return 0;
    } catch (...) {
      self->thrown_ = std::current_exception();
      return 1;
    }
  }

  const GenerateOptions& options_;
  const OnToken& on_token_;
  std::vector<phial_bias> biases_;
  std::vector<phial_ids> bad_words_;
  std::vector<phial_text> stops_;
  std::exception_ptr thrown_;
};

// Told how much of a long piece of work is done, of how much; false stops it.
using OnProgress = std::function<bool(int64_t done, int64_t total)>;

namespace detail {

// What `call` gives as text, told of by `on_progress`, whose exceptions come out here.
template <class Options, class Call>
std::string with_progress(Options& options, const OnProgress& on_progress, Call&& call) {
  struct Told {
    const OnProgress& on_progress;
    std::exception_ptr thrown;
  } told{on_progress, nullptr};
  options.on_progress = nullptr;
  if (on_progress) {
    options.user = &told;
    options.on_progress = [](void* user, int64_t done, int64_t total) -> int {
      auto* self = static_cast<Told*>(user);
      try {
        return self->on_progress(done, total) ? 0 : 1;
      } catch (...) {
        self->thrown = std::current_exception();
        return 1;
      }
    };
  }
  phial_buffer* text = nullptr;
  phial_error* error = call(&text);
  if (told.thrown) {
    phial_error_free(error);
    std::rethrow_exception(told.thrown);
  }
  check(error);
  return take_text(text);
}

}  // namespace detail

class Sequence {
 public:
  using OnToken = GenerateArguments::OnToken;

  explicit Sequence(const Model& model, int64_t context = 0) {
    phial_sequence_options options = PHIAL_SEQUENCE_OPTIONS_INIT;
    options.context = context;
    phial_sequence* sequence = nullptr;
    detail::check(phial_sequence_create(model.get(), &options, &sequence));
    handle_.reset(sequence);
  }

  // As save() has written it.
  static Sequence load(const Model& model, const std::string& path, int64_t context = 0) {
    phial_sequence_options options = PHIAL_SEQUENCE_OPTIONS_INIT;
    options.context = context;
    phial_sequence* sequence = nullptr;
    detail::check(phial_sequence_load(model.get(), &options, path.c_str(), &sequence));
    return Sequence(sequence);
  }
  void save(const std::string& path) const {
    detail::check(phial_sequence_save(handle_.get(), path.c_str()));
  }

  int64_t length() const { return phial_sequence_length(handle_.get()); }
  std::vector<int32_t> tokens() const {
    const int32_t* ids = nullptr;
    int64_t count = 0;
    detail::check(phial_sequence_tokens(handle_.get(), &ids, &count, nullptr));
    return {ids, ids + count};
  }
  // How many of the tokens, from the first one on, need not be computed any more.
  int64_t computed() const {
    const int32_t* ids = nullptr;
    int64_t count = 0, computed = 0;
    detail::check(phial_sequence_tokens(handle_.get(), &ids, &count, &computed));
    return computed;
  }

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
  Generation generate(const phial_generate_options& options = PHIAL_GENERATE_OPTIONS_INIT,
                      const OnToken& on_token = {}) {
    GenerateOptions plain;
    plain.plain = options;
    GenerateArguments arguments(plain, on_token);
    Generation result;
    phial_buffer* ids = nullptr;
    phial_error* error =
        phial_generate(handle_.get(), &arguments.c_options, &ids, &result.finish, &result.stats);
    if (error == nullptr) result.ids = detail::take_ids(ids);
    arguments.check(error);
    return result;
  }

  // All answers. `on_token` is called where there is one answer and no beams. What callbacks throw
  // comes out of this call.
  Answers generate_outputs(const GenerateOptions& options = {}, const OnToken& on_token = {}) {
    GenerateArguments arguments(options, on_token);
    phial_outputs* outputs = nullptr;
    phial_error* error = phial_generate_outputs(handle_.get(), &arguments.c_options, &outputs);
    Answers answers;
    if (error == nullptr) answers = detail::take_answers(outputs);
    arguments.check(error);
    return answers;
  }

  void process_logits(const GenerateOptions& options, int64_t prompt_tokens) {
    GenerateArguments arguments(options, {});
    arguments.check(
        phial_sequence_process_logits(handle_.get(), &arguments.c_options, prompt_tokens));
  }

  // The report as JSON; 0 for what suits the model.
  std::string perplexity_json(const std::vector<int32_t>& ids, int64_t context = 0,
                              int64_t stride = 0, const OnProgress& on_progress = {}) {
    phial_perplexity_options options = PHIAL_PERPLEXITY_OPTIONS_INIT;
    options.context = context;
    options.stride = stride;
    return detail::with_progress(options, on_progress, [&](phial_buffer** json) {
      return phial_perplexity_json(handle_.get(), ids.data(), ids.size(), &options, json);
    });
  }

  // How far `other`'s model is from this one's on a text, as JSON. The options' own callback is not
  // used.
  std::string compare_json(Sequence& other, const std::vector<int32_t>& ids,
                           phial_compare_options options = PHIAL_COMPARE_OPTIONS_INIT,
                           const OnProgress& on_progress = {}) {
    return detail::with_progress(options, on_progress, [&](phial_buffer** json) {
      return phial_compare_json(handle_.get(), other.get(), ids.data(), ids.size(), &options, json);
    });
  }

  phial_sequence* get() const { return handle_.get(); }

 private:
  explicit Sequence(phial_sequence* sequence) : handle_(sequence) {}

  detail::Handle<phial_sequence, phial_sequence_free> handle_;
};

// Converts the model at `source` into `output`; the report, or with options.dry_run the plan, as
// JSON. The options' own callback is not used.
inline std::string quantize_json(const Context& context, const std::string& source,
                                 const std::string& output, phial_quantize_options options,
                                 const OnProgress& on_progress = {}) {
  return detail::with_progress(options, on_progress, [&](phial_buffer** json) {
    return phial_quantize_json(context.get(), source.c_str(), output.c_str(), &options, json);
  });
}

// The schemes of all formats, as JSON.
inline std::string schemes_json() {
  phial_buffer* json = nullptr;
  detail::check(phial_schemes_json(&json));
  return detail::take_text(json);
}

// One report of a quantization or a JSON array of them, drawn.
inline std::string quantization_svg(std::string_view reports_json) {
  phial_buffer* svg = nullptr;
  detail::check(phial_quantization_svg(reports_json.data(), reports_json.size(), &svg));
  return detail::take_text(svg);
}

// The answers of one sequence of a batch, or why there are none.
struct BatchResult {
  Answers answers;
  std::optional<Error> error;
};

// `options`: one for each sequence. What callbacks throw comes out of this call.
inline std::vector<BatchResult> generate_batch(const std::vector<Sequence*>& sequences,
                                               const std::vector<GenerateOptions>& options) {
  const GenerateArguments::OnToken none;
  std::vector<std::unique_ptr<GenerateArguments>> arguments;
  std::vector<phial_sequence*> handles;
  std::vector<const phial_generate_options*> c_options;
  for (size_t i = 0; i < sequences.size(); ++i) {
    arguments.push_back(std::make_unique<GenerateArguments>(options.at(i), none));
    handles.push_back(sequences[i]->get());
    c_options.push_back(&arguments.back()->c_options);
  }
  std::vector<phial_outputs*> outputs(sequences.size());
  std::vector<phial_error*> errors(sequences.size());
  detail::check(phial_generate_batch(handles.data(), c_options.data(), handles.size(),
                                     outputs.data(), errors.data()));
  std::vector<BatchResult> results(sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (errors[i] != nullptr) {
      results[i].error.emplace(errors[i]);
    } else {
      results[i].answers = detail::take_answers(outputs[i]);
    }
  }
  for (const auto& each : arguments) each->check(nullptr);
  return results;
}

}  // namespace hpp
}  // namespace phial

#endif  // PHIAL_PHIAL_HPP_
