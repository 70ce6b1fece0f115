// Text to ids and back, and chat templates.
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "capi/guard.h"
#include "capi/open_model.h"
#include "capi/options.h"
#include "text/chat_messages.h"

using namespace phial;
using namespace phial::capi;

struct phial_detokenizer {
  std::shared_ptr<OpenModel> model;  // keeps the vocabulary's file mapped
  int64_t tokenizer_size;
  int64_t vocabulary;
  StreamDecoder decoder;
};

namespace {

Error outside_vocabulary(int64_t id, int64_t vocabulary) {
  return invalid_input("ids", "id " + std::to_string(id) + " is outside the vocabulary of " +
                                  std::to_string(vocabulary) + " ids");
}

// JSON that the caller gives is the caller's input, not a file of the model.
Result<Json> parse_given(std::string_view text, const char* name) {
  Result<Json> parsed = parse_json(text, name);
  if (parsed.ok() || parsed.error().code != ErrorCode::damaged) return parsed;
  Error error = std::move(parsed).error();
  error.code = ErrorCode::invalid_input;
  return error;
}

Result<Json> parse_given_array(std::string_view text, const char* name) {
  PHIAL_ASSIGN(Json value, parse_given(text, name));
  if (value.if_array() == nullptr) {
    return invalid_input(name, std::string("expected an array, got ") + value.kind_name());
  }
  return value;
}

// strftime_now wants the wall clock of the place where the program runs.
int64_t local_seconds() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return static_cast<int64_t>(now);
  return static_cast<int64_t>(now) + local.tm_gmtoff;
}

void set_or_replace(Json::Object& object, const std::string& name, Json value) {
  for (auto& [key, present] : object) {
    if (key == name) {
      present = std::move(value);
      return;
    }
  }
  object.emplace_back(name, std::move(value));
}

// Weakest first: the model's special tokens, what every template sees, the caller's variables.
Result<Json> render_variables(OpenModel* model, std::string_view messages,
                              const phial_template_options& given) {
  Json::Object variables;
  if (model != nullptr) {
    const Json special = model->template_variables();
    if (const Json::Object* members = special.if_object()) variables = *members;
  }
  PHIAL_ASSIGN(const Json parsed_messages, parse_given_array(messages, "messages"));
  PHIAL_ASSIGN(Json prepared, prepare_messages(parsed_messages, "messages"));
  set_or_replace(variables, "messages", std::move(prepared));
  Json tools;
  if (given.tools_json != nullptr) {
    PHIAL_ASSIGN(tools, parse_given_array({given.tools_json, given.tools_bytes}, "tools"));
  }
  set_or_replace(variables, "tools", std::move(tools));
  set_or_replace(variables, "documents", Json());
  set_or_replace(variables, "add_generation_prompt", Json(given.add_generation_prompt != 0));
  if (given.variables_json != nullptr) {
    PHIAL_ASSIGN(Json extra,
                 parse_given({given.variables_json, given.variables_bytes}, "variables"));
    if (extra.if_object() == nullptr) {
      return invalid_input("variables",
                           std::string("expected an object, got ") + extra.kind_name());
    }
    for (const auto& [key, value] : *extra.if_object()) set_or_replace(variables, key, value);
  }
  return Json(std::move(variables));
}

}  // namespace

phial_error* phial_tokenize(phial_model* model, const char* text, size_t text_bytes,
                            int special_tokens, phial_buffer** ids) {
  static constexpr char kFunction[] = "phial_tokenize";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(ids, kFunction, "ids"));
    PHIAL_ASSIGN(const std::string_view view, text_of(text, text_bytes, kFunction, "text"));
    PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
    PHIAL_ASSIGN(const std::vector<int32_t> encoded,
                 tokenizer->encode(view, {.add_special_tokens = special_tokens != 0}));
    *ids = ids_buffer(encoded);
    return {};
  });
}

phial_error* phial_detokenize(phial_model* model, const int32_t* ids, size_t count,
                              int skip_special_tokens, phial_buffer** text) {
  static constexpr char kFunction[] = "phial_detokenize";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(text, kFunction, "text"));
    PHIAL_ASSIGN(const auto given, ids_of(ids, count, kFunction, "ids"));
    PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
    const int64_t vocabulary = model->open->vocabulary(*tokenizer);
    std::vector<int32_t> known;
    known.reserve(given.size());
    for (const int32_t id : given) {
      if (id < 0 || id >= vocabulary) return outside_vocabulary(id, vocabulary);
      if (id < tokenizer->size()) known.push_back(id);
    }
    PHIAL_ASSIGN(const std::string decoded, tokenizer->decode(known, skip_special_tokens != 0));
    *text = text_buffer(decoded);
    return {};
  });
}

phial_error* phial_token_piece(phial_model* model, int32_t id, phial_buffer** piece) {
  static constexpr char kFunction[] = "phial_token_piece";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(piece, kFunction, "piece"));
    PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
    *piece = text_buffer(tokenizer->piece(id).value_or(std::string_view()));
    return {};
  });
}

phial_error* phial_detokenizer_create(phial_model* model, int skip_special_tokens,
                                      phial_detokenizer** detokenizer) {
  static constexpr char kFunction[] = "phial_detokenizer_create";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(detokenizer, kFunction, "detokenizer"));
    PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
    *detokenizer =
        new phial_detokenizer{model->open, tokenizer->size(), model->open->vocabulary(*tokenizer),
                              StreamDecoder(tokenizer, skip_special_tokens != 0)};
    return {};
  });
}

phial_error* phial_detokenizer_push(phial_detokenizer* detokenizer, int32_t id,
                                    phial_buffer** text) {
  static constexpr char kFunction[] = "phial_detokenizer_push";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(detokenizer, kFunction, "detokenizer"));
    PHIAL_TRY(require(text, kFunction, "text"));
    std::string piece;
    if (id < 0 || id >= detokenizer->vocabulary) {
      return outside_vocabulary(id, detokenizer->vocabulary);
    }
    if (id < detokenizer->tokenizer_size) {
      PHIAL_ASSIGN(piece, detokenizer->decoder.push(id));
    }
    *text = text_buffer(piece);
    return {};
  });
}

phial_error* phial_detokenizer_finish(phial_detokenizer* detokenizer, phial_buffer** text) {
  static constexpr char kFunction[] = "phial_detokenizer_finish";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(detokenizer, kFunction, "detokenizer"));
    PHIAL_TRY(require(text, kFunction, "text"));
    *text = text_buffer(detokenizer->decoder.finish());
    return {};
  });
}

void phial_detokenizer_free(phial_detokenizer* detokenizer) { delete detokenizer; }

phial_error* phial_template_render(phial_model* model, const char* messages_json,
                                   size_t messages_bytes, const phial_template_options* options,
                                   phial_buffer** prompt) {
  static constexpr char kFunction[] = "phial_template_render";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(messages_json, kFunction, "messages_json"));
    PHIAL_TRY(require(prompt, kFunction, "prompt"));
    PHIAL_ASSIGN(const phial_template_options given,
                 read_options(options, PHIAL_TEMPLATE_OPTIONS_INIT, kFunction));
    std::shared_ptr<const ChatTemplate> chat_template;
    if (given.template_text != nullptr) {
      PHIAL_ASSIGN(chat_template,
                   ChatTemplate::parse({given.template_text, given.template_bytes}, "template"));
    } else {
      PHIAL_TRY(require(model, kFunction, "model"));
      const std::string_view name =
          given.template_name == nullptr ? std::string_view() : given.template_name;
      PHIAL_ASSIGN(chat_template, model->open->chat_template(name, given.tools_json != nullptr));
    }
    PHIAL_ASSIGN(const Json variables,
                 render_variables(model == nullptr ? nullptr : model->open.get(),
                                  {messages_json, messages_bytes}, given));
    PHIAL_ASSIGN(const std::string text, chat_template->render(variables, local_seconds()));
    *prompt = text_buffer(text);
    return {};
  });
}
