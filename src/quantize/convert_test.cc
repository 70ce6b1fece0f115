#include "quantize/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "formats/checkpoint.h"
#include "quantize/schemes.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

const std::string kGolden = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/";

std::string fmt_name(const std::string& scheme, int threads, const std::string& isa) {
  return "out-" + scheme + "-" + std::to_string(threads) + "-" + isa;
}

// The golden models in memory, and what is made of them.
class Conversions : public ::testing::Test {
 protected:
  void SetUp() override {
    files_ = std::make_shared<MemoryFiles>();
    const auto disk = disk_files();
    for (const char* name : {"llama-smol", "llama-tiny-sharded"}) {
      for (const std::string& file : disk->list(kGolden + name).value()) {
        if (file.ends_with(".npy") || file == "golden.json") continue;
        put(*disk, std::string(name) + "/" + file);
      }
    }
    for (const char* name : {"llama-smol-f32.gguf", "llama-smol-q4_1.gguf", "llama-smol-q8_0.gguf",
                             "llama-tiny-bf16.gguf", "phi3-plain-f16.gguf"}) {
      put(*disk, name);
    }
    names_ = files_->list(".").value();
  }

  void put(const Files& disk, const std::string& path) {
    const auto file = disk.map(kGolden + path).value();
    files_->put(path, std::string(file->text()));
  }

  std::shared_ptr<const Runtime> runtime(int threads = 2, const std::string& isa = "") {
    return Runtime::create(threads, isa, files_).value();
  }

  Result<std::shared_ptr<const Model>> open(const std::string& path) {
    PHIAL_ASSIGN(Checkpoint checkpoint, read_checkpoint(*files_, path));
    return open_model(std::make_shared<const Checkpoint>(std::move(checkpoint)));
  }

  Result<ConvertPlan> plan(const std::string& source, const ConvertOptions& options) {
    PHIAL_ASSIGN(auto model, open(source));
    return plan_conversion(*files_, std::move(model), options);
  }

  Result<ConvertResult> convert(const std::string& source, const std::string& output,
                                const ConvertOptions& options) {
    PHIAL_ASSIGN(const ConvertPlan planned, plan(source, options));
    return run_conversion(*runtime(), planned, output, {}, nullptr);
  }

  std::string bytes_of(const std::string& path) {
    return std::string(files_->map(path).value()->text());
  }

  // The values of every tensor, by name.
  std::map<std::string, std::vector<float>> values_of(const std::string& path) {
    std::map<std::string, std::vector<float>> out;
    const Checkpoint checkpoint = read_checkpoint(*files_, path).value();
    for (const NamedTensor& tensor : checkpoint.tensors) {
      std::vector<float>& values = out[tensor.name];
      values.resize(static_cast<size_t>(tensor.view.elements()));
      decode_row(tensor.view.grid, tensor.view.bytes.data(), tensor.view.elements(), values.data());
    }
    return out;
  }

  void expect_untouched() { EXPECT_EQ(files_->list(".").value(), names_); }

  static ConvertOptions to(TargetFormat format, const std::string& scheme) {
    ConvertOptions options;
    options.format = format;
    options.scheme = scheme;
    return options;
  }

  std::shared_ptr<MemoryFiles> files_;
  std::vector<std::string> names_;
};

TEST_F(Conversions, BytesDoNotDependOnThreadsOrInstructionSet) {
  for (const auto& [format, scheme] :
       {std::pair(TargetFormat::gguf, "q4_0"), std::pair(TargetFormat::gguf, "q4_k_m"),
        std::pair(TargetFormat::gguf, "iq4_nl"), std::pair(TargetFormat::mlx, "4-g32")}) {
    const ConvertPlan planned = plan("llama-smol-f32.gguf", to(format, scheme)).value();
    std::string expected;
    for (const auto& [threads, isa] :
         {std::pair(1, "reference"), std::pair(3, ""), std::pair(1, "")}) {
      const std::string output = fmt_name(scheme, threads, isa);
      ASSERT_TRUE(run_conversion(*runtime(threads, isa), planned, output, {}, nullptr).ok());
      const std::string bytes =
          bytes_of(format == TargetFormat::gguf ? output : output + "/model.safetensors");
      if (expected.empty()) expected = bytes;
      EXPECT_TRUE(bytes == expected) << output;
    }
  }
}

TEST_F(Conversions, KeepingCopiesEveryTensor) {
  for (const char* source : {"llama-smol-q4_1.gguf", "llama-smol-q8_0.gguf", "llama-tiny-bf16.gguf",
                             "phi3-plain-f16.gguf"}) {
    const ConvertPlan planned = plan(source, to(TargetFormat::gguf, "keep")).value();
    for (const PlannedTensor& tensor : planned.tensors) {
      EXPECT_EQ(tensor.target.is_matrix() ? tensor.transfer : Transfer::copied, Transfer::copied)
          << source;
    }
    const auto result = convert(source, "copy.gguf", to(TargetFormat::gguf, "keep"));
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    for (const TensorResult& tensor : result->tensors) EXPECT_TRUE(tensor.exact) << tensor.name;
    const Checkpoint before = read_checkpoint(*files_, source).value();
    const Checkpoint after = read_checkpoint(*files_, "copy.gguf").value();
    ASSERT_EQ(before.tensors.size(), after.tensors.size());
    for (size_t i = 0; i < before.tensors.size(); ++i) {
      EXPECT_EQ(before.tensors[i].name, after.tensors[i].name);
      EXPECT_TRUE(std::ranges::equal(before.tensors[i].view.bytes, after.tensors[i].view.bytes))
          << before.tensors[i].name;
    }
  }
}

TEST_F(Conversions, FloatsSurviveAnyChainBitForBit) {
  const std::pair<const char*, const char*> sources[] = {
      {"llama-smol", "llama-smol-f32.gguf"}, {"llama-tiny-sharded", "llama-tiny-bf16.gguf"}};
  for (const auto& [folder, gguf] : sources) {
    const auto keep = [&](const std::string& from, const std::string& into, TargetFormat format) {
      const auto result = convert(from, into, to(format, "keep"));
      ASSERT_TRUE(result.ok()) << result.error().to_string();
    };
    const std::string name = folder;
    keep(folder, name + "-1.gguf", TargetFormat::gguf);
    keep(name + "-1.gguf", name + "-2", TargetFormat::safetensors);
    keep(name + "-2", name + "-3", TargetFormat::mlx);
    keep(name + "-3", name + "-4.gguf", TargetFormat::gguf);
    EXPECT_EQ(values_of(name + "-1.gguf"), values_of(gguf));
    EXPECT_EQ(values_of(name + "-2"), values_of(folder));
    EXPECT_EQ(values_of(name + "-3"), values_of(folder));
    EXPECT_EQ(values_of(name + "-4.gguf"), values_of(gguf));
  }
}

TEST_F(Conversions, Int4CodesSurviveAChainBitForBit) {
  ASSERT_TRUE(convert("llama-smol-f32.gguf", "a.gguf", to(TargetFormat::gguf, "q4_0")).ok());
  ASSERT_TRUE(convert("a.gguf", "mlx", to(TargetFormat::mlx, "keep")).ok());
  const auto back = convert("mlx", "b.gguf", to(TargetFormat::gguf, "keep"));
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(values_of("a.gguf"), values_of("b.gguf"));
}

TEST_F(Conversions, NotANumberIsANamedError) {
  const Checkpoint source = read_checkpoint(*files_, "llama-smol-f32.gguf").value();
  const NamedTensor* tensor = source.find("blk.1.ffn_up.weight");
  const auto* begin = source.mappings[0]->bytes().data();
  const auto offset = static_cast<size_t>(tensor->view.bytes.data() - begin);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::string bytes = bytes_of("llama-smol-f32.gguf");
    std::memcpy(bytes.data() + offset + 4 * (5 * 96 + 7), &bad, sizeof(bad));
    files_->put("bad.gguf", bytes);
    for (const char* scheme : {"q4_0", "q4_k_m", "keep"}) {
      const auto result = convert("bad.gguf", "out.gguf", to(TargetFormat::gguf, scheme));
      ASSERT_FALSE(result.ok());
      EXPECT_EQ(result.error().code, ErrorCode::damaged);
      EXPECT_EQ(result.error().where, "blk.1.ffn_up.weight");
      EXPECT_THAT(result.error().message, ::testing::HasSubstr("row 5"));
      EXPECT_EQ(files_->kind("out.gguf"), FileKind::none);
    }
  }
}

TEST_F(Conversions, TheSourceIsNeverTheOutput) {
  const std::string before = bytes_of("llama-smol-f32.gguf");
  const auto result = convert("llama-smol-f32.gguf", "./llama-smol/../llama-smol-f32.gguf",
                              to(TargetFormat::gguf, "q4_0"));
  EXPECT_EQ(result.error().code, ErrorCode::usage);
  EXPECT_EQ(bytes_of("llama-smol-f32.gguf"), before);
  EXPECT_EQ(convert("llama-smol", "llama-smol", to(TargetFormat::mlx, "4-g32")).error().code,
            ErrorCode::usage);
  EXPECT_EQ(convert("llama-smol", "llama-smol/model.safetensors", to(TargetFormat::gguf, "q4_0"))
                .error()
                .code,
            ErrorCode::usage);
  expect_untouched();
}

TEST_F(Conversions, AFolderThatHoldsSomethingIsRefused) {
  files_->put("taken/notes.txt", "mine");
  const auto result = convert("llama-smol-f32.gguf", "taken", to(TargetFormat::mlx, "4-g32"));
  EXPECT_EQ(result.error().code, ErrorCode::io_error);
  EXPECT_EQ(bytes_of("taken/notes.txt"), "mine");
}

TEST_F(Conversions, CancellingLeavesNothing) {
  for (const auto& [format, scheme] :
       {std::pair(TargetFormat::gguf, "q4_0"), std::pair(TargetFormat::mlx, "4-g32")}) {
    const ConvertPlan planned = plan("llama-smol-f32.gguf", to(format, scheme)).value();
    int64_t calls = 0;
    const auto stop = [&calls](int64_t, int64_t) { return ++calls < 4; };
    EXPECT_EQ(run_conversion(*runtime(), planned, "out", stop, nullptr).error().code,
              ErrorCode::cancelled);
    CancelFlag cancel;
    cancel.request();
    EXPECT_EQ(run_conversion(*runtime(), planned, "out", {}, &cancel).error().code,
              ErrorCode::cancelled);
  }
  expect_untouched();
}

TEST_F(Conversions, ProgressEndsAtTheTotal) {
  const ConvertPlan planned = plan("llama-smol-f32.gguf", to(TargetFormat::gguf, "q8_0")).value();
  int64_t last = 0, total = 0;
  const auto told = [&](int64_t done, int64_t of) {
    EXPECT_GT(done, last);
    last = done;
    total = of;
    return true;
  };
  ASSERT_TRUE(run_conversion(*runtime(), planned, "out.gguf", told, nullptr).ok());
  EXPECT_EQ(last, total);
}

TEST_F(Conversions, GroupsThatDoNotDivideNameTheTensorAndWhatWould) {
  const auto result = plan("llama-smol", to(TargetFormat::mlx, "4-g128"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::usage);
  EXPECT_EQ(result.error().where, "model.embed_tokens.weight");
  EXPECT_THAT(result.error().message, ::testing::HasSubstr("96 columns"));
  EXPECT_THAT(result.error().hint, ::testing::HasSubstr("32"));
  // GGUF has fallbacks for its own mixes, but a rule is an order.
  EXPECT_TRUE(plan("llama-smol", to(TargetFormat::gguf, "q4_k_m")).ok());
  ConvertOptions options = to(TargetFormat::gguf, "q4_0");
  options.rules = {{"*attn_q*", "q4_k"}};
  EXPECT_EQ(plan("llama-smol", options).error().code, ErrorCode::usage);
}

TEST_F(Conversions, RulesChooseGridsAndMustMatch) {
  ConvertOptions options = to(TargetFormat::gguf, "q4_0");
  options.rules = {{"blk.?.ffn_*", "q5_1"}, {"blk.1.ffn_down.weight", "q8_0"}};
  const ConvertPlan planned = plan("llama-smol-f32.gguf", options).value();
  std::map<std::string, std::string> grids;
  for (const PlannedTensor& tensor : planned.tensors) {
    grids[tensor.target.name] = tensor.grid.name();
  }
  EXPECT_EQ(grids["blk.0.ffn_down.weight"], "q5_1");
  EXPECT_EQ(grids["blk.1.ffn_down.weight"], "q8_0");
  EXPECT_EQ(grids["blk.1.ffn_up.weight"], "q5_1");
  EXPECT_EQ(grids["blk.1.attn_q.weight"], "q4_0");
  EXPECT_EQ(grids["blk.1.ffn_norm.weight"], "f32");
  options.rules = {{"nothing*", "q8_0"}};
  EXPECT_EQ(plan("llama-smol-f32.gguf", options).error().code, ErrorCode::usage);
}

TEST_F(Conversions, BitsPerWeightKeepCodesThatFit) {
  ConvertOptions options;
  for (const double bits : {6.9, 40.0}) {
    options.bits_per_weight = bits;
    EXPECT_EQ(plan("llama-smol-q4_1.gguf", options)->scheme, "q4_1") << bits;
  }
  for (const TargetFormat format : {TargetFormat::gguf, TargetFormat::safetensors}) {
    options.format = format;
    EXPECT_EQ(plan("llama-tiny-bf16.gguf", options)->scheme, "bf16");
  }
}

TEST_F(Conversions, BitsPerWeightTakeTheMixThatLosesLeast) {
  for (const TargetFormat format : {TargetFormat::gguf, TargetFormat::mlx, TargetFormat::phial}) {
    ConvertOptions options = to(format, "");
    double before = 0;
    for (const double bits : {5.6, 6.0, 6.5, 9.0}) {
      options.bits_per_weight = bits;
      const ConvertPlan planned = plan("llama-smol-f32.gguf", options).value();
      EXPECT_LE(planned.bits_per_weight, bits);
      EXPECT_GE(planned.bits_per_weight, before);
      before = planned.bits_per_weight;
      for (const PlannedTensor& tensor : planned.tensors) {
        if (!tensor.target.is_matrix()) continue;
        EXPECT_EQ(tensor.transfer, Transfer::encoded) << tensor.target.name;
      }
    }
    // The embedding is the head here, which a model suffers from most.
    options.bits_per_weight = 6.5;
    std::map<Role, double> bits_of;
    const ConvertPlan planned = plan("llama-smol-f32.gguf", options).value();
    for (const PlannedTensor& tensor : planned.tensors) {
      bits_of[tensor.target.role] =
          8.0 * static_cast<double>(tensor.bytes) / static_cast<double>(tensor.weights());
    }
    EXPECT_GE(bits_of[Role::token_embedding], bits_of[Role::gate]) << format_name(format);
    EXPECT_EQ(planned.scheme, "mix");
    options.rules = {{format == TargetFormat::gguf ? "*attn_v*" : "*v_proj*", "f32"}};
    options.bits_per_weight = 8;
    const ConvertPlan ordered = plan("llama-smol-f32.gguf", options).value();
    EXPECT_LE(ordered.bits_per_weight, 8);
    for (const PlannedTensor& tensor : ordered.tensors) {
      if (tensor.target.role != Role::v) continue;
      EXPECT_EQ(tensor.grid.grid, Grid::f32) << tensor.target.name;
    }
    options.rules = {{"nothing*", "f32"}};
    EXPECT_EQ(plan("llama-smol-f32.gguf", options).error().code, ErrorCode::usage);
    options.rules.clear();
    options.bits_per_weight = 1;
    EXPECT_EQ(plan("llama-smol-f32.gguf", options).error().code, ErrorCode::usage);
  }
}

TEST_F(Conversions, ThePlanTellsWhatTheRunDoes) {
  for (const char* scheme : {"q4_k_m", "q8_0", "f16"}) {
    const ConvertPlan planned =
        plan("llama-tiny-bf16.gguf", to(TargetFormat::gguf, scheme)).value();
    const auto result = run_conversion(*runtime(), planned, "out.gguf", {}, nullptr);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->bytes, bytes_of("out.gguf").size());
    uint64_t bytes = 0;
    for (const TensorResult& tensor : result->tensors) bytes += tensor.bytes;
    EXPECT_EQ(bytes, planned.bytes);
    const Checkpoint written = read_checkpoint(*files_, "out.gguf").value();
    for (const PlannedTensor& tensor : planned.tensors) {
      const NamedTensor* found = written.find(tensor.target.name);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(grid_info(found->view.grid).name, tensor.grid.name());
      EXPECT_EQ(found->view.bytes.size(), tensor.bytes);
    }
  }
}

TEST_F(Conversions, AnImportanceMatrixOfAnotherModelIsRefused) {
  auto imatrix = std::make_shared<Imatrix>();
  imatrix->columns["blk.0.attn_q.weight"] = std::vector<float>(97, 1.0f);
  ConvertOptions options = to(TargetFormat::gguf, "q4_0");
  options.importance = imatrix;
  EXPECT_EQ(plan("llama-smol-f32.gguf", options).error().code, ErrorCode::invalid_input);
  auto strange = std::make_shared<Imatrix>();
  strange->columns["blk.7.attn_q.weight"] = std::vector<float>(96, 1.0f);
  options.importance = strange;
  EXPECT_EQ(plan("llama-smol-f32.gguf", options).error().code, ErrorCode::invalid_input);
}

}  // namespace
}  // namespace phial
