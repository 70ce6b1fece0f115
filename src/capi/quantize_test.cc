// phial_quantize_json, phial_schemes_json and phial_quantization_svg with what callers get wrong:
// a named error, nothing written, no crash.
#include <cmath>
#include <filesystem>
#include <limits>

#include "capi/test_help.h"

namespace phial::capi {
namespace {

class Quantize : public testing::Test {
 protected:
  Quantize() {
    std::filesystem::create_directories(folder_);
    options_.format = "gguf";
    options_.scheme = "q8_0";
  }
  ~Quantize() override { std::filesystem::remove_all(folder_); }

  // The code of a run with options_; what it reports is kept in report_.
  std::string run() {
    phial_buffer* json = nullptr;
    const std::string code = code_of(
        phial_quantize_json(context_.get(), source_.c_str(), output_.c_str(), &options_, &json));
    EXPECT_EQ(json != nullptr, code == "ok");
    report_ = json == nullptr ? "" : take_text(json);
    return code;
  }
  // That of a run that fails: nothing is left behind.
  std::string failed_run() {
    const std::string code = run();
    EXPECT_TRUE(std::filesystem::is_empty(folder_)) << code;
    return code;
  }

  const std::string folder_ = testing::TempDir() + "phial_quantize_" +
                              testing::UnitTest::GetInstance()->current_test_info()->name();
  ContextPtr context_ = make_context();
  std::string source_ = golden_path("llama-smol");
  std::string output_ = folder_ + "/out.gguf";
  std::string report_;
  phial_quantize_options options_ = PHIAL_QUANTIZE_OPTIONS_INIT;
};

TEST_F(Quantize, NullArguments) {
  const char* const source = source_.c_str();
  const char* const output = output_.c_str();
  phial_context* const context = context_.get();
  phial_buffer* json = nullptr;
  EXPECT_EQ(code_of(phial_quantize_json(nullptr, source, output, &options_, &json)), "usage");
  EXPECT_EQ(code_of(phial_quantize_json(context, nullptr, output, &options_, &json)), "usage");
  EXPECT_EQ(code_of(phial_quantize_json(context, source, nullptr, &options_, &json)), "usage");
  EXPECT_EQ(code_of(phial_quantize_json(context, source, output, &options_, nullptr)), "usage");
  // No options: the format is not known.
  EXPECT_EQ(code_of(phial_quantize_json(context, source, output, nullptr, &json)), "usage");
  EXPECT_EQ(json, nullptr);
  EXPECT_EQ(code_of(phial_schemes_json(nullptr)), "usage");
  options_.format = nullptr;
  EXPECT_EQ(failed_run(), "usage");
}

TEST_F(Quantize, FieldsThatMayBeNullTakeDefaults) {
  options_.scheme = nullptr;
  options_.dry_run = 1;
  ASSERT_EQ(run(), "ok");
  EXPECT_NE(report_.find("\"scheme\":\"q4_k_m\""), std::string::npos) << report_;
  EXPECT_NE(report_.find("\"effort\":\"balanced\""), std::string::npos) << report_;
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Quantize, Names) {
  for (const char* format : {"", "GGUF", "gguf:q4_0", "gguff"}) {
    options_.format = format;
    EXPECT_EQ(failed_run(), "usage") << format;
  }
  for (const char* format : {"onnx", "openvino"}) {
    options_.format = format;
    EXPECT_EQ(failed_run(), "unsupported") << format;
  }
  options_.format = "gguf";
  for (const char* scheme : {"q9_9", "q4_0 ", "4", "\xff"}) {
    options_.scheme = scheme;
    EXPECT_EQ(failed_run(), "usage") << scheme;
  }
  options_.scheme = "q8_0";
  for (const char* effort : {"", "Fast", "fastest"}) {
    options_.effort = effort;
    EXPECT_EQ(failed_run(), "usage") << effort;
  }
  options_.effort = "best";
  EXPECT_EQ(failed_run(), "unsupported");
}

TEST_F(Quantize, Rules) {
  options_.rule_count = 1;
  EXPECT_EQ(failed_run(), "usage");
  phial_tensor_rule rules[] = {{"*", "q4_0"}, {nullptr, "q4_0"}};
  options_.rules = rules;
  options_.rule_count = 2;
  EXPECT_EQ(failed_run(), "usage");
  rules[1] = {"*", nullptr};
  EXPECT_EQ(failed_run(), "usage");
  rules[1] = {"*", "q9_9"};
  EXPECT_EQ(failed_run(), "usage");
  rules[1] = {"", "q4_0"};
  EXPECT_EQ(failed_run(), "usage");
  rules[1] = {"nothing.like.this", "q4_0"};
  EXPECT_EQ(failed_run(), "usage");
  // Beyond rule_count nothing is read.
  options_.rule_count = 1;
  EXPECT_EQ(run(), "ok");
}

TEST_F(Quantize, BitsPerWeight) {
  options_.scheme = nullptr;
  options_.dry_run = 1;
  for (const double bits : {-1.0, -0.5, 1e-9, 1.0, std::nan(""), -HUGE_VAL}) {
    options_.bits_per_weight = bits;
    EXPECT_EQ(failed_run(), "usage") << bits;
  }
  for (const double bits : {16.5, 1e300, HUGE_VAL}) {
    options_.bits_per_weight = bits;
    EXPECT_EQ(run(), "ok") << bits;
  }
  options_.scheme = "q4_0";
  EXPECT_EQ(failed_run(), "usage") << "a scheme and bits per weight";
}

TEST_F(Quantize, Paths) {
  const std::string source = source_;
  source_ = "";
  EXPECT_EQ(failed_run(), "usage");
  source_ = folder_ + "/nothing";
  EXPECT_EQ(failed_run(), "not_found");
  source_ = folder_;  // a folder without a model
  EXPECT_EQ(failed_run(), "unsupported");
  source_ = source;
  options_.imatrix = "";
  EXPECT_EQ(failed_run(), "not_found");
  options_.imatrix = folder_.c_str();
  EXPECT_EQ(failed_run(), "unsupported");
  const std::string weights = source + "/model.safetensors";
  options_.imatrix = weights.c_str();
  EXPECT_EQ(failed_run(), "damaged");
  options_.imatrix = nullptr;
  output_ = "";
  EXPECT_EQ(failed_run(), "usage");
  output_ = folder_ + "/no/such/folder/out.gguf";
  EXPECT_EQ(failed_run(), "io_error");
  output_ = folder_;
  EXPECT_EQ(failed_run(), "io_error");
  output_ = source;
  EXPECT_EQ(failed_run(), "usage");
  output_ = weights;
  EXPECT_EQ(failed_run(), "usage");
}

TEST_F(Quantize, StructsOfNoSize) {
  for (const size_t size : {size_t{0}, size_t{3}, SIZE_MAX}) {
    options_.size = size;
    EXPECT_EQ(failed_run(), "usage") << size;
  }
}

TEST_F(Quantize, ACallbackStopsIt) {
  struct Calls {
    int64_t left, done, total;
  } calls = {3, 0, 0};
  options_.user = &calls;
  options_.on_progress = [](void* user, int64_t done, int64_t total) {
    auto& seen = *static_cast<Calls*>(user);
    EXPECT_GT(done, seen.done);
    EXPECT_LE(done, total);
    seen.done = done;
    seen.total = total;
    return --seen.left == 0 ? 1 : 0;
  };
  EXPECT_EQ(failed_run(), "cancelled");
  calls = {std::numeric_limits<int64_t>::max(), 0, 0};
  EXPECT_EQ(run(), "ok");
  EXPECT_EQ(calls.done, calls.total);
}

TEST_F(Quantize, PlotsOfWhatIsNoReport) {
  phial_buffer* svg = nullptr;
  const auto draw = [&](const std::string& text) {
    const std::string code = code_of(phial_quantization_svg(text.data(), text.size(), &svg));
    if (code == "ok") phial_buffer_free(svg);
    return code;
  };
  EXPECT_EQ(code_of(phial_quantization_svg(nullptr, 0, &svg)), "damaged");
  EXPECT_EQ(code_of(phial_quantization_svg(nullptr, 1, &svg)), "usage");
  EXPECT_EQ(draw("{"), "damaged");
  for (const char* text : {"[]", "[1]", "1", "null", "{}", R"({"tensors":5})", R"({"tensors":[5]})",
                           R"([{"tensors":{"a":1}},{}])"}) {
    EXPECT_EQ(draw(text), "invalid_input") << text;
  }
  ASSERT_EQ(run(), "ok");
  EXPECT_EQ(draw(report_), "ok");
  EXPECT_EQ(draw("[" + report_ + "," + report_ + "]"), "ok");
}

class Compare : public testing::Test {
 protected:
  std::string run(std::vector<int32_t> ids) {
    phial_buffer* json = nullptr;
    const std::string code =
        code_of(phial_compare_json(a_.get(), b_.get(), ids.data(), ids.size(), &options_, &json));
    EXPECT_EQ(json != nullptr, code == "ok");
    phial_buffer_free(json);
    return code;
  }

  ContextPtr context_ = make_context();
  ModelPtr model_ = load_golden_model(context_, "llama-smol");
  SequencePtr a_ = make_sequence(model_), b_ = make_sequence(model_);
  phial_compare_options options_ = PHIAL_COMPARE_OPTIONS_INIT;
  const std::vector<int32_t> ids_ = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
};

TEST_F(Compare, Ids) {
  EXPECT_EQ(run({}), "invalid_input");
  EXPECT_EQ(run({1}), "invalid_input");
  EXPECT_EQ(run({1, -1}), "invalid_input");
  EXPECT_EQ(run({1, std::numeric_limits<int32_t>::max()}), "invalid_input");
  EXPECT_EQ(run({1, std::numeric_limits<int32_t>::min()}), "invalid_input");
  EXPECT_EQ(run({1, 2}), "ok");
}

TEST_F(Compare, OneSequenceForBoth) {
  phial_buffer* json = nullptr;
  EXPECT_EQ(
      code_of(phial_compare_json(a_.get(), a_.get(), ids_.data(), ids_.size(), &options_, &json)),
      "usage");
  EXPECT_EQ(json, nullptr);
}

TEST_F(Compare, Numbers) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  using Field = int64_t phial_compare_options::*;
  const std::pair<Field, std::vector<int64_t>> wrong[] = {
      {&phial_compare_options::context, {-1, 1, -kMost}},
      {&phial_compare_options::stride, {-1, kMost, -kMost}},
      {&phial_compare_options::continuations, {-1, -kMost}},
      {&phial_compare_options::new_tokens, {0, -1, kMost, -kMost}}};
  for (const auto& [field, values] : wrong) {
    for (const int64_t value : values) {
      options_ = PHIAL_COMPARE_OPTIONS_INIT;
      options_.*field = value;
      EXPECT_EQ(run(ids_), "usage") << value;
    }
  }
  options_ = PHIAL_COMPARE_OPTIONS_INIT;
  options_.context = kMost;
  EXPECT_EQ(run(ids_), "over_limit");
  options_ = PHIAL_COMPARE_OPTIONS_INIT;
  options_.continuations = kMost;  // no more than there are places in the text
  options_.new_tokens = 2;
  EXPECT_EQ(run(ids_), "ok");
}

TEST_F(Compare, ACallbackStopsIt) {
  int calls = 0;
  options_.user = &calls;
  options_.on_progress = [](void* user, int64_t, int64_t) { return ++*static_cast<int*>(user); };
  EXPECT_EQ(run(ids_), "cancelled");
  EXPECT_EQ(calls, 1);
  options_.on_progress = nullptr;
  EXPECT_EQ(run(ids_), "ok") << "the sequences can be used again";
  EXPECT_EQ(phial_sequence_length(a_.get()), 0);
}

TEST_F(Compare, StructsOfNoSize) {
  for (const size_t size : {size_t{0}, size_t{3}, SIZE_MAX}) {
    options_.size = size;
    EXPECT_EQ(run(ids_), "usage") << size;
  }
}

}  // namespace
}  // namespace phial::capi
