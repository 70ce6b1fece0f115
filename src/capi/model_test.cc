// Models and text through the C interface.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "capi/test_help.h"
#include "engine/golden_models.h"

namespace phial::capi {
namespace {

Json golden_json(const std::string& name) {
  return must(parse_json(
      must(read_text(*disk_files(), golden_path(name) + "/golden.json", 1u << 20)), "golden"));
}

std::vector<int32_t> tokenize(const ModelPtr& model, const std::string& text, int special) {
  phial_buffer* ids = nullptr;
  must_succeed(phial_tokenize(model.get(), text.data(), text.size(), special, &ids));
  return take_ids(ids);
}

// Sets an environment variable while it lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    if (old_) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(Context, InstructionSetComesFromOptionsThenEnvironment) {
  const Environment isa("PHIAL_ISA", "reference");
  phial_context* raw = nullptr;
  must_succeed(phial_context_create(nullptr, &raw));
  const ContextPtr context(raw);
  phial_buffer* json = nullptr;
  must_succeed(phial_doctor_json(context.get(), &json));
  const Json report = must(parse_json(take_text(json), "doctor"));
  EXPECT_EQ(*report.find("isa")->find("chosen")->if_string(), "reference");
  EXPECT_EQ(*report.find("version")->if_string(), phial_version());

  const Environment wrong("PHIAL_ISA", "no-such-isa");
  EXPECT_EQ(code_of(phial_context_create(nullptr, &raw)), "usage");
  phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
  options.isa = "reference";
  must_succeed(phial_context_create(&options, &raw));
  phial_context_free(raw);
}

TEST(Context, ThreadsOutsideTheRangeAreUsageErrors) {
  for (const int32_t threads : {-1, 1025, INT32_MIN, INT32_MAX}) {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    phial_context* context = nullptr;
    EXPECT_EQ(code_of(phial_context_create(&options, &context)), "usage") << threads;
    EXPECT_EQ(context, nullptr);
  }
}

TEST(Load, ErrorsAreNamedAndLeaveTheResultAlone) {
  const ContextPtr context = make_context();
  phial_model* model = nullptr;
  EXPECT_EQ(code_of(phial_model_load(context.get(), "/no/such/model", nullptr, &model)),
            "not_found");
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  options.load = static_cast<phial_load>(3);
  EXPECT_EQ(code_of(phial_model_load(context.get(), golden_path("phi2").c_str(), &options, &model)),
            "usage");
  EXPECT_EQ(model, nullptr);
}

TEST(Load, ShortNamesAreFoundInTheModelFolder) {
  const ContextPtr context = make_context();
  const Environment folder("PHIAL_MODELS", golden_path(""));
  for (const char* name : {"phi2", "phi2-f32.gguf", "phi2-f32"}) {
    phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
    options.load = PHIAL_LOAD_INFO;
    phial_model* model = nullptr;
    must_succeed(phial_model_load(context.get(), name, &options, &model));
    phial_model_free(model);
  }
  const Environment unset("PHIAL_MODELS", "");
  const Environment data("XDG_DATA_HOME", testing::TempDir());
  phial_model* model = nullptr;
  EXPECT_EQ(code_of(phial_model_load(context.get(), "phi2", nullptr, &model)), "not_found");
}

TEST(Load, TextNeedsNoWeights) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "phial_text_only";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    std::filesystem::copy(golden_path("llama-smol/") + file, folder / file);
  }
  const ContextPtr context = make_context();
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  options.load = PHIAL_LOAD_TEXT;
  phial_model* raw = nullptr;
  must_succeed(phial_model_load(context.get(), folder.c_str(), &options, &raw));
  const ModelPtr model(raw);
  EXPECT_FALSE(tokenize(model, "text", 1).empty());
  phial_sequence* sequence = nullptr;
  EXPECT_EQ(code_of(phial_sequence_create(model.get(), nullptr, &sequence)), "usage");
  std::filesystem::remove_all(folder);
}

TEST(Load, ATokenizerIsMissedOnlyWhenItIsAskedFor) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "phial_no_tokenizer";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors"}) {
    std::filesystem::copy(golden_path("llama-smol/") + file, folder / file);
  }
  const ContextPtr context = make_context();
  phial_model* raw = nullptr;
  must_succeed(phial_model_load(context.get(), folder.c_str(), nullptr, &raw));
  const ModelPtr model(raw);
  phial_buffer* ids = nullptr;
  EXPECT_EQ(code_of(phial_tokenize(model.get(), "a", 1, 1, &ids)), "not_found");
  const SequencePtr sequence = make_sequence(model);
  const int32_t prompt[] = {5, 6};
  must_succeed(phial_sequence_append(sequence.get(), prompt, 2));
  phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
  options.max_new_tokens = 3;
  options.ignore_eos = 1;
  size_t calls = 0;
  options.user = &calls;
  options.on_token = [](void* user, int32_t, const char*, size_t bytes) {
    EXPECT_EQ(bytes, 0u);
    ++*static_cast<size_t*>(user);
    return 0;
  };
  must_succeed(phial_generate(sequence.get(), &options, &ids, nullptr, nullptr));
  EXPECT_EQ(take_ids(ids).size(), 3u);
  EXPECT_EQ(calls, 3u);
  std::filesystem::remove_all(folder);
}

TEST(Load, ObjectsMayBeFreedInAnyOrder) {
  ContextPtr context = make_context();
  ModelPtr model = load_golden_model(context, "llama-smol");
  SequencePtr sequence = make_sequence(model);
  phial_detokenizer* detokenizer = nullptr;
  must_succeed(phial_detokenizer_create(model.get(), 0, &detokenizer));
  context.reset();
  model.reset();
  const int32_t id = 5;
  must_succeed(phial_sequence_append(sequence.get(), &id, 1));
  must_succeed(phial_sequence_compute_logits(sequence.get(), PHIAL_LOGITS_LAST));
  sequence.reset();
  phial_buffer* text = nullptr;
  must_succeed(phial_detokenizer_push(detokenizer, id, &text));
  phial_buffer_free(text);
  phial_detokenizer_free(detokenizer);
}

TEST(Info, TellsWhatTheFilesSay) {
  struct Case {
    const char *name, *format, *architecture, *quantization;
  };
  const ContextPtr context = make_context();
  for (const Case& c : {Case{"llama-smol", "safetensors", "LlamaForCausalLM", "f32"},
                        Case{"llama-smol-q4_1.gguf", "gguf", "llama", "q4_1"},
                        Case{"llama-tiny-sharded", "safetensors", "LlamaForCausalLM", "bf16"},
                        Case{"phi3-plain-f16.gguf", "gguf", "phi3", "f16"}}) {
    const ModelPtr model = load_golden_model(context, c.name, PHIAL_LOAD_INFO);
    phial_buffer* json = nullptr;
    must_succeed(phial_model_info_json(model.get(), 1, &json));
    const Json info = must(parse_json(take_text(json), "info"));
    EXPECT_EQ(*info.find("format")->if_string(), c.format) << c.name;
    EXPECT_EQ(*info.find("architecture")->if_string(), c.architecture) << c.name;
    EXPECT_EQ(*info.find("quantization")->if_string(), c.quantization) << c.name;
    int64_t parameters = 0;
    for (const Json& tensor : *info.find("tensors")->if_array()) {
      int64_t elements = 1;
      for (const Json& extent : *tensor.find("shape")->if_array()) elements *= *extent.if_integer();
      parameters += elements;
    }
    EXPECT_GT(parameters, 0);
    EXPECT_EQ(*info.find("parameters")->if_integer(), parameters) << c.name;
    must_succeed(phial_model_info_json(model.get(), 0, &json));
    EXPECT_EQ(must(parse_json(take_text(json), "info")).find("tensors"), nullptr);
  }
}

TEST(Text, IdsAndTextsAreTheGoldenOnes) {
  const ContextPtr context = make_context();
  for (const char* name : {"llama-smol", "llama-tiny-sharded", "phi2", "phi3-plain"}) {
    const ModelPtr model = load_golden_model(context, name, PHIAL_LOAD_TEXT);
    const Json golden = golden_json(name);
    for (const Json& item : *golden.find("tokenizer")->if_array()) {
      const std::string& text = *item.find("text")->if_string();
      const std::vector<int32_t> ids = phial::ids_of(*item.find("ids"));
      EXPECT_EQ(tokenize(model, text, 1), ids) << name << ": " << text;
      EXPECT_EQ(tokenize(model, text, 0), phial::ids_of(*item.find("ids_without_special")));
      for (const int skip : {0, 1}) {
        phial_buffer* decoded = nullptr;
        must_succeed(phial_detokenize(model.get(), ids.data(), ids.size(), skip, &decoded));
        EXPECT_EQ(take_text(decoded),
                  *item.find(skip ? "decoded_skip_special" : "decoded")->if_string());
      }
    }
  }
}

TEST(Text, StreamedTextIsTheWholeText) {
  const ContextPtr context = make_context();
  const ModelPtr model = load_golden_model(context, "llama-smol", PHIAL_LOAD_TEXT);
  const std::vector<int32_t> ids = phial::ids_of(*golden_json("llama-smol").find("greedy_ids"));
  phial_detokenizer* detokenizer = nullptr;
  must_succeed(phial_detokenizer_create(model.get(), 0, &detokenizer));
  std::string streamed;
  phial_buffer* text = nullptr;
  for (const int32_t id : ids) {
    must_succeed(phial_detokenizer_push(detokenizer, id, &text));
    streamed += take_text(text);
  }
  must_succeed(phial_detokenizer_finish(detokenizer, &text));
  streamed += take_text(text);
  phial_detokenizer_free(detokenizer);
  EXPECT_EQ(streamed, *golden_json("llama-smol").find("greedy_text")->if_string());
}

TEST(Text, IdsOfPaddingRowsHaveNoTextAndOthersOutsideAreErrors) {
  const ContextPtr context = make_context();
  const ModelPtr model = load_golden_model(context, "phi2");  // 8 padding rows
  const SequencePtr sequence = make_sequence(model);
  const int32_t first = 1;
  must_succeed(phial_sequence_append(sequence.get(), &first, 1));
  must_succeed(phial_sequence_compute_logits(sequence.get(), PHIAL_LOGITS_LAST));
  float* logits = nullptr;
  int64_t rows = 0, vocabulary = 0;
  must_succeed(phial_sequence_logits(sequence.get(), &logits, &rows, &vocabulary));
  const auto padding = static_cast<int32_t>(vocabulary - 1);
  phial_buffer* buffer = nullptr;
  must_succeed(phial_detokenize(model.get(), &padding, 1, 0, &buffer));
  EXPECT_EQ(take_text(buffer), "");
  must_succeed(phial_token_piece(model.get(), padding, &buffer));
  EXPECT_EQ(take_text(buffer), "");
  phial_detokenizer* detokenizer = nullptr;
  must_succeed(phial_detokenizer_create(model.get(), 0, &detokenizer));
  must_succeed(phial_detokenizer_push(detokenizer, padding, &buffer));
  EXPECT_EQ(take_text(buffer), "");
  for (const int32_t id : {padding + 1, -1, INT32_MAX}) {
    EXPECT_EQ(code_of(phial_detokenize(model.get(), &id, 1, 0, &buffer)), "invalid_input") << id;
    EXPECT_EQ(code_of(phial_detokenizer_push(detokenizer, id, &buffer)), "invalid_input") << id;
  }
  phial_detokenizer_free(detokenizer);
}

TEST(Text, WhatIsNotUtf8IsInvalidInput) {
  const ContextPtr context = make_context();
  const ModelPtr model = load_golden_model(context, "llama-smol", PHIAL_LOAD_TEXT);
  phial_buffer* ids = nullptr;
  phial_error* error = phial_tokenize(model.get(), "abc\xC3(", 5, 1, &ids);
  ASSERT_NE(error, nullptr);
  EXPECT_NE(std::string(phial_error_text(error)).find("byte 3"), std::string::npos)
      << phial_error_text(error);
  EXPECT_EQ(code_of(error), "invalid_input");
}

}  // namespace
}  // namespace phial::capi
