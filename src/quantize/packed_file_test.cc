// Packed files: made of every grid, of every layout of rows; what runs from them is what runs from
// their sources, and what is converted back has the bytes of the source.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <ostream>

#include "engine/golden_models.h"
#include "eval/reports.h"
#include "model/phial_weights.h"
#include "quantize/convert.h"

namespace phial {
namespace {

const std::string kGolden = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/";

struct Source {
  const char* path;
  // Whether the source is packed when it is opened for int8, as its packed file has it.
  bool same_panels = true;
  bool fits_gguf = true;
};

// Block grids of which panels hold all but iq2_xxs; matrices of rows that fill no panel, fused
// ones, interleaved ones; planes of MLX; tied and untied embeddings; floats.
constexpr Source kSources[] = {
    {"grid_models/q4_0.gguf"},
    {"grid_models/q8_0.gguf"},
    {"grid_models/q2_k.gguf"},
    {"grid_models/q3_k.gguf"},
    {"grid_models/q4_k.gguf"},
    {"grid_models/q5_k.gguf"},
    {"grid_models/q6_k.gguf"},
    {"grid_models/iq4_nl.gguf"},
    {"grid_models/iq4_xs.gguf"},
    {"grid_models/mxfp4.gguf"},
    {"grid_models/iq2_xxs.gguf"},
    {"models/llama-smol-q4_1.gguf"},
    {"models/llama-smol-q8_0.gguf"},
    {"models/llama-tiny-bf16.gguf"},
    {"models/phi3-plain-f16.gguf"},
    {"models/phi2"},
    {"mlx/llama-4bit-g32"},
    {"mlx/qwen3-mixed"},
    {"mlx/phi3-mxfp4", false},         // as planes it is not packed, as blocks it is
    {"mlx/gemma2-3bit", true, false},  // a scale of queries that GGUF has no key for
    {"mlx/phi-5bit"},
};

void PrintTo(const Source& source, std::ostream* out) { *out << source.path; }

class PackedFiles : public testing::TestWithParam<Source> {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("phial_packed_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    disk_ = disk_files();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string at(const std::string& name) const { return folder_ / name; }
  static std::string source() { return kGolden + GetParam().path; }

  static std::shared_ptr<const Model> open(const Files& files, const std::string& path) {
    return must(open_model(std::make_shared<const Checkpoint>(must(read_checkpoint(files, path)))));
  }

  ConvertResult convert(const std::string& from, const std::string& into, TargetFormat format) {
    ConvertOptions options;
    options.format = format;
    options.scheme = "keep";
    const ConvertPlan plan = must(plan_conversion(*disk_, open(*disk_, from), options));
    return must(run_conversion(*must(Runtime::create(2, "", disk_)), plan, into, {}, nullptr));
  }

  // Of a prompt that is read in one pass, and of two single tokens behind it.
  static std::vector<float> logits_of(std::shared_ptr<const Files> files, const std::string& path,
                                      Compute compute, const std::string& isa) {
    const auto model = open(*files, path);
    const auto runtime = must(Runtime::create(2, isa, files));
    Numerics numerics;
    numerics.compute = compute;
    auto sequence = must(Sequence::create(must(make_native_decoder(runtime, model, numerics)), 0));
    std::vector<float> out;
    const auto feed = [&](const std::vector<int32_t>& ids) {
      must(sequence->append(ids));
      must(sequence->compute_logits(LogitsRows::all, nullptr));
      for (int64_t r = 0; r < sequence->logits().rows(); ++r) {
        const auto row = sequence->logits().row(r);
        out.insert(out.end(), row.begin(), row.end());
      }
    };
    std::vector<int32_t> prompt;
    for (int32_t i = 0; i < 40; ++i) prompt.push_back(i * 7 % 30);
    feed(prompt);
    feed({5});
    feed({11});
    return out;
  }

  static void expect_same_tensors(const Files& files, const std::string& a, const std::string& b) {
    const Checkpoint want = must(read_checkpoint(files, a)), got = must(read_checkpoint(files, b));
    ASSERT_EQ(want.tensors.size(), got.tensors.size());
    for (size_t i = 0; i < want.tensors.size(); ++i) {
      EXPECT_EQ(want.tensors[i].name, got.tensors[i].name);
      EXPECT_EQ(want.tensors[i].dtype, got.tensors[i].dtype) << want.tensors[i].name;
      EXPECT_TRUE(std::ranges::equal(want.tensors[i].view.bytes, got.tensors[i].view.bytes))
          << want.tensors[i].name;
    }
  }

  // As the disk has it, in memory, where nothing is aligned to cache lines.
  static std::shared_ptr<MemoryFiles> in_memory(const Files& disk, const std::string& folder) {
    auto files = std::make_shared<MemoryFiles>();
    for (const std::string& name : must(disk.list(folder))) {
      files->put("m/" + name, std::string(must(disk.map(folder + "/" + name))->text()));
    }
    return files;
  }

  std::filesystem::path folder_;
  std::shared_ptr<const Files> disk_;
};

TEST_P(PackedFiles, KeepEveryValueAndRunAsTheSource) {
  const ConvertResult result = convert(source(), at("packed"), TargetFormat::phial);
  for (const TensorResult& tensor : result.tensors) EXPECT_TRUE(tensor.exact) << tensor.name;
  const auto packed = open(*disk_, at("packed"));
  for (const NamedTensor& tensor : packed->checkpoint->tensors) {
    const auto* begin = packed->checkpoint->mappings[0]->bytes().data();
    EXPECT_EQ((tensor.view.bytes.data() - begin) % kPackedAlignment, 0) << tensor.name;
  }
  EXPECT_TRUE(check_finite(*packed->checkpoint).ok());
  const auto memory = in_memory(*disk_, at("packed"));
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    SCOPED_TRACE(table->isa);
    const std::vector<float> want = logits_of(disk_, source(), Compute::int8, table->isa);
    const std::vector<float> got = logits_of(disk_, at("packed"), Compute::int8, table->isa);
    if (GetParam().same_panels) {
      EXPECT_EQ(got, want);
    }
    EXPECT_EQ(got, logits_of(memory, "m", Compute::int8, table->isa));
    // Products of float32 are summed in another order: as golden models are compared.
    const std::vector<float> exact = logits_of(disk_, source(), Compute::fp32, table->isa);
    const std::vector<float> floats = logits_of(disk_, at("packed"), Compute::fp32, table->isa);
    EXPECT_EQ(floats, logits_of(memory, "m", Compute::fp32, table->isa));
    const auto [low, high] = std::ranges::minmax(exact);
    ASSERT_EQ(exact.size(), floats.size());
    for (size_t i = 0; i < exact.size(); ++i) {
      ASSERT_NEAR(exact[i], floats[i], 2e-4 * (static_cast<double>(high) - low)) << i;
    }
  }
}

TEST_P(PackedFiles, GiveBackTheBytesOfTheSource) {
  convert(source(), at("packed"), TargetFormat::phial);
  if (GetParam().fits_gguf) {
    convert(source(), at("direct.gguf"), TargetFormat::gguf);
    convert(at("packed"), at("back.gguf"), TargetFormat::gguf);
    expect_same_tensors(*disk_, at("direct.gguf"), at("back.gguf"));
  }
  convert(source(), at("direct-mlx"), TargetFormat::mlx);
  convert(at("packed"), at("back-mlx"), TargetFormat::mlx);
  expect_same_tensors(*disk_, at("direct-mlx"), at("back-mlx"));
  convert(at("packed"), at("again"), TargetFormat::phial);
  expect_same_tensors(*disk_, at("packed"), at("again"));
}

TEST_P(PackedFiles, SayWhatTheyAre) {
  convert(source(), at("packed"), TargetFormat::phial);
  const Json info = model_info(must(read_checkpoint(*disk_, at("packed"))), true);
  const Json of_source = model_info(must(read_checkpoint(*disk_, source())), false);
  // Of floats alone it is a folder like any other.
  const bool floats = std::string(GetParam().path).find("16") != std::string::npos ||
                      std::string(GetParam().path) == "models/phi2";
  EXPECT_EQ(*info.find("format")->if_string(), floats ? "safetensors" : "phial");
  EXPECT_EQ(*info.find("architecture")->if_string(),
            must(model_spec_of(must(read_checkpoint(*disk_, source())))).architecture);
  if (of_source.find("quantization")->if_string() != nullptr && GetParam().same_panels) {
    EXPECT_NE(info.find("quantization")->if_string(), nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, PackedFiles, testing::ValuesIn(kSources),
                         [](const testing::TestParamInfo<Source>& test) {
                           std::string name = test.param.path;
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace phial
