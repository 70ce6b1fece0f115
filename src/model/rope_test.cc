// Rope scalings: published values, both spellings of a configuration, and what is refused.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace phial {
namespace {

// `text` is the configuration but for the keys of the shape.
Result<ModelSpec> read(const std::string& text, const RopeDefaults& defaults = {},
                       int64_t head_dim = 64, int64_t context = 131072) {
  const Json config = *parse_json(text, "config.json");
  ModelSpec spec;
  spec.context = context;
  spec.attention.head_dim = head_dim;
  PHIAL_TRY(read_rope(ConfigReader(config, "config.json"), defaults, spec));
  return spec;
}

RopeSpec rope_of(const std::string& text, const RopeDefaults& defaults = {}, int64_t head_dim = 64,
                 int64_t context = 131072) {
  auto spec = read(text, defaults, head_dim, context);
  EXPECT_TRUE(spec.ok()) << spec.error().to_string();
  return spec.ok() ? spec->rope : RopeSpec();
}

void expect_error(const std::string& text, ErrorCode code, const std::string& part,
                  const RopeDefaults& defaults = {}) {
  const auto spec = read(text, defaults);
  ASSERT_FALSE(spec.ok()) << text;
  EXPECT_EQ(spec.error().code, code) << spec.error().to_string();
  EXPECT_NE(spec.error().to_string().find(part), std::string::npos) << spec.error().to_string();
}

// Printed to so many digits that one part in 1e-6 is the printing.
void expect_near(float got, double want) { EXPECT_NEAR(got, want, 2e-6 * want); }

TEST(Rope, InverseFrequencies) {
  // 1 / 10000^(2i / 4)
  EXPECT_EQ(plain_inv_freq(10000.0, 4), (std::vector<float>{1.0f, 0.01f}));
}

TEST(Rope, BothSpellingsOfAConfiguration) {
  const RopeSpec old_style =
      rope_of(R"({"rope_theta": 500000.0, "partial_rotary_factor": 0.5})", {.partial = true});
  const RopeSpec new_style = rope_of(
      R"({"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0,
          "partial_rotary_factor": 0.5}})",
      {.partial = true});
  EXPECT_EQ(old_style.rotary, 32);
  EXPECT_EQ(old_style.inv_freq, plain_inv_freq(500000.0, 32));
  EXPECT_EQ(new_style.rotary, 32);
  EXPECT_EQ(new_style.inv_freq, old_style.inv_freq);
  EXPECT_EQ(rope_of("{}", {.theta = 2e6}).inv_freq, plain_inv_freq(2e6, 64));
}

TEST(Rope, Linear) {
  const RopeSpec rope = rope_of(R"({"rope_scaling": {"type": "linear", "factor": 4.0}})");
  const std::vector<float> plain = plain_inv_freq(10000.0, 64);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(rope.inv_freq[i], plain[i] / 4);
}

// Llama 3.2: factor 32 of an original context of 8192.
TEST(Rope, Llama3) {
  const RopeSpec rope = rope_of(
      R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 32.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}})");
  EXPECT_EQ(rope.inv_freq[0], 1.0f);
  expect_near(rope.inv_freq[12], 0.0072926647);
  expect_near(rope.inv_freq[14], 0.003211446);
  expect_near(rope.inv_freq[15], 0.0012905479);
  expect_near(rope.inv_freq[16], 0.0004295568);
  expect_near(rope.inv_freq[17], 9.70829e-05);
  expect_near(rope.inv_freq[18], 1.94616e-05);
  EXPECT_NEAR(rope.inv_freq[31], 9.42e-08, 1e-10);
  EXPECT_EQ(rope.mscale, 1.0f);
}

TEST(Rope, YarnKeepsFastAndStretchesSlowDimensions) {
  const RopeSpec rope = rope_of(
      R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
          "original_max_position_embeddings": 32768}})",
      {}, 128);
  const std::vector<float> plain = plain_inv_freq(10000.0, 128);
  EXPECT_EQ(rope.inv_freq[0], plain[0]);
  EXPECT_EQ(rope.inv_freq[20], plain[20]);
  expect_near(rope.inv_freq[63], static_cast<double>(plain[63]) / 4);
  EXPECT_NEAR(rope.mscale, 0.1 * std::log(4.0) + 1, 1e-6);
  const RopeSpec given = rope_of(
      R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.5,
          "original_max_position_embeddings": 32768}})");
  EXPECT_EQ(given.mscale, 0.5f);
}

std::string longrope(const std::string& type, const std::string& rest = "") {
  std::string factors = "1.0";
  for (int i = 1; i < 48; ++i) factors += ", 2.84";
  return R"({"original_max_position_embeddings": 4096, "rope_scaling": {"type": ")" + type +
         R"(", "short_factor": [)" + factors + R"(], "long_factor": [1.0800000429153442)" +
         factors.substr(3, 46 * 6) + ", 64.84]" + rest + "}}";
}

// Phi-3.5-mini.
TEST(Rope, LongRope) {
  for (const char* type : {"longrope", "su", "yarn"}) {
    const RopeSpec rope = rope_of(longrope(type), {.su_is_longrope = true}, 96);
    EXPECT_EQ(rope.by_length, RopeLength::longrope);
    EXPECT_EQ(rope.limit, 4096);
    EXPECT_EQ(rope.inv_freq[0], 1.0f);
    expect_near(rope.long_inv_freq[0], 0.92592589);
    expect_near(rope.inv_freq[47], 4.26594331e-05);
    expect_near(rope.long_inv_freq[47], 1.86848817e-06);
    EXPECT_NEAR(rope.mscale, 1.1902380714238083, 1e-7);
  }
  EXPECT_EQ(rope_of(longrope("longrope", R"(, "attention_factor": 1.5)"), {}, 96).mscale, 1.5f);
  // A context that is no longer than the original one needs no scale.
  EXPECT_EQ(rope_of(longrope("longrope"), {}, 96, 4096).mscale, 1.0f);
}

TEST(Rope, LongRopeListsMustFit) {
  const auto short_list = read(longrope("longrope"), {}, 64);  // 48 factors for 32 pairs
  ASSERT_FALSE(short_list.ok());
  EXPECT_EQ(short_list.error().code, ErrorCode::damaged);
  EXPECT_NE(short_list.error().to_string().find("expected 32 numbers"), std::string::npos);
  expect_error(R"({"rope_scaling": {"type": "longrope"}})", ErrorCode::damaged, "short_factor");
  std::string zeros = "0";
  for (int i = 1; i < 32; ++i) zeros += ", 0";
  expect_error(R"({"rope_scaling": {"type": "longrope", "short_factor": [)" + zeros + "]}}",
               ErrorCode::damaged, "positive");
}

TEST(Rope, DynamicGrowsWithTheLength) {
  const auto spec = read(R"({"rope_scaling": {"type": "dynamic", "factor": 2.0}})", {}, 64, 2048);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->context, 4096);
  EXPECT_EQ(spec->rope.limit, 2048);
  EXPECT_EQ(spec->rope.inv_freq, plain_inv_freq(10000.0, 64));
  // theta * (2 * 3072 / 2048 - 1)^(64 / 62)
  const std::vector<float> grown = dynamic_inv_freq(spec->rope, 3072);
  const std::vector<float> want = plain_inv_freq(10000.0 * std::pow(2.0, 64.0 / 62), 64);
  for (size_t i = 0; i < want.size(); ++i) expect_near(grown[i], static_cast<double>(want[i]));
}

TEST(Rope, RefusesWhatItDoesNotKnow) {
  expect_error(R"({"rope_scaling": {"type": "spiral"}})", ErrorCode::unsupported,
               "supported: default, linear");
  expect_error(R"({"rope_scaling": {"type": "su"}})", ErrorCode::unsupported, "\"su\"");
  expect_error(R"({"partial_rotary_factor": 0.5})", ErrorCode::unsupported, "whole heads");
  expect_error(R"({"partial_rotary_factor": 0.01})", ErrorCode::damaged, "in pairs",
               {.partial = true});
  expect_error(R"({"rope_scaling": {"type": "linear"}})", ErrorCode::damaged, "factor");
  expect_error(R"({"rope_scaling": {"type": "linear", "factor": -1}})", ErrorCode::damaged,
               "factor");
  expect_error(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
                   "high_freq_factor": 4}})",
               ErrorCode::damaged, "high_freq_factor");
  expect_error(R"({"rope_theta": 0.5})", ErrorCode::damaged, "rope_theta");
}

}  // namespace
}  // namespace phial
