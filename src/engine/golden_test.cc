// The engine against transformers: logits within 2e-4 of their range and equal greedy tokens, for
// every golden checkpoint on every instruction set of this machine, however the tokens are fed.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "engine/golden_models.h"
#include "generate/sampling.h"

namespace phial {
namespace {

constexpr double kTolerance = 2e-4;  // of the logit range

struct Case {
  std::string model;
  std::string golden;
  std::string isa;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const std::string text = must(read_text(*disk_files(), kGoldenModels + "index.json", 1u << 20));
  const Json index = must(parse_json(text, "index.json"));
  for (const Json& entry : *index.if_array()) {
    for (const KernelTable* table : kernel_tables()) {
      if (!is_supported(*table)) continue;
      cases.push_back(
          {*entry.find("model")->if_string(), *entry.find("golden")->if_string(), table->isa});
    }
  }
  return cases;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.model + "_" + info.param.isa;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

class GoldenTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    golden_ = load_golden(GetParam().golden);
    decoder_ = load_decoder(GetParam().model, GetParam().isa, 2);
  }

  std::unique_ptr<Sequence> open() { return must(Sequence::create(decoder_, 0)); }

  // Rows [first, ...) of the golden against all rows of `logits`.
  void expect_rows(Logits& logits, size_t first) {
    ASSERT_EQ(logits.vocabulary, golden_.vocabulary);
    double worst = 0;
    for (int64_t r = 0; r < logits.rows(); ++r) {
      const float* want = golden_.row(first + static_cast<size_t>(r));
      for (int64_t c = 0; c < logits.vocabulary; ++c) {
        const double got = logits.row(r)[static_cast<size_t>(c)];
        worst = std::max(worst, std::abs(got - static_cast<double>(want[c])));
      }
    }
    EXPECT_LE(worst, kTolerance * golden_.range) << "rows from " << first;
  }

  Golden golden_;
  std::shared_ptr<Decoder> decoder_;
};

TEST_P(GoldenTest, PromptAndDecodeSteps) {
  auto sequence = open();
  must(sequence->append(golden_.prompt_ids));
  must(sequence->compute_logits(LogitsRows::all, nullptr));
  expect_rows(sequence->logits(), 0);
  for (size_t i = 0; i < golden_.greedy_ids.size(); ++i) {
    must(sequence->append({&golden_.greedy_ids[i], 1}));
    must(sequence->compute_logits(LogitsRows::last, nullptr));
    expect_rows(sequence->logits(), golden_.prompt_ids.size() + i);
  }
}

TEST_P(GoldenTest, GreedyTokens) {
  auto sequence = open();
  must(sequence->append(golden_.prompt_ids));
  EXPECT_EQ(greedy_ids(*sequence, golden_.greedy_ids.size()), golden_.greedy_ids);
}

TEST_P(GoldenTest, ChunksOfAnySize) {
  for (const size_t chunk : {1, 2, 3, 5, 8, 9, 13, 31, 63}) {
    auto sequence = open();
    for (size_t at = 0; at < golden_.prompt_ids.size(); at += chunk) {
      const size_t n = std::min(chunk, golden_.prompt_ids.size() - at);
      must(sequence->append(std::span(golden_.prompt_ids).subspan(at, n)));
      must(sequence->compute_logits(LogitsRows::all, nullptr));
      expect_rows(sequence->logits(), at);
    }
    EXPECT_EQ(greedy_ids(*sequence, 8),
              std::vector(golden_.greedy_ids.begin(), golden_.greedy_ids.begin() + 8))
        << "chunks of " << chunk;
  }
}

TEST_P(GoldenTest, AfterRewind) {
  auto sequence = open();
  // Something else behind the common part, then back.
  must(sequence->append(std::span(golden_.prompt_ids).first(40)));
  must(sequence->append(golden_.greedy_ids));
  must(sequence->compute_logits(LogitsRows::last, nullptr));
  must(sequence->rewind(37));
  must(sequence->append(std::span(golden_.prompt_ids).subspan(37)));
  must(sequence->compute_logits(LogitsRows::all, nullptr));
  expect_rows(sequence->logits(), 37);
  // Rewinding what is computed leaves no logits; they are computed again.
  must(sequence->rewind(50));
  must(sequence->compute_logits(LogitsRows::last, nullptr));
  expect_rows(sequence->logits(), 49);
}

TEST_P(GoldenTest, ForksAreIndependent) {
  auto sequence = open();
  must(sequence->append(std::span(golden_.prompt_ids).first(45)));
  must(sequence->compute_logits(LogitsRows::last, nullptr));
  auto fork = must(sequence->fork());
  // The fork writes other tokens into the page that both shared.
  must(fork->append(golden_.greedy_ids));
  must(fork->compute_logits(LogitsRows::last, nullptr));
  must(sequence->append(std::span(golden_.prompt_ids).subspan(45)));
  must(sequence->compute_logits(LogitsRows::all, nullptr));
  expect_rows(sequence->logits(), 45);
  must(fork->rewind(45));
  sequence.reset();  // pages live on in the fork
  must(fork->append(std::span(golden_.prompt_ids).subspan(45)));
  EXPECT_EQ(greedy_ids(*fork, golden_.greedy_ids.size()), golden_.greedy_ids);
}

TEST_P(GoldenTest, BatchOfUnequalLengths) {
  std::vector<std::vector<int32_t>> histories;
  std::vector<SequenceId> ids;
  std::vector<std::vector<int32_t>> produced(golden_.short_prompts.size());
  for (const Golden::Short& s : golden_.short_prompts) {
    histories.push_back(s.prompt_ids);
    ids.push_back(must(decoder_->open(decoder_->traits().context)));
  }
  const size_t steps = golden_.short_prompts[0].greedy_ids.size();
  for (size_t n = 0; n < steps; ++n) {
    std::vector<Step> batch;
    for (size_t i = 0; i < ids.size(); ++i) {
      Step step;
      step.sequence = ids[i];
      step.tokens = n == 0 ? std::span<const int32_t>(histories[i])
                           : std::span<const int32_t>(histories[i]).last(1);
      batch.push_back(step);
    }
    Logits logits;
    must(decoder_->forward(batch, logits, nullptr));
    for (size_t i = 0; i < ids.size(); ++i) {
      const int32_t id = must(argmax(logits.row(logits.first_row[i])));
      produced[i].push_back(id);
      histories[i].push_back(id);
    }
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(produced[i], golden_.short_prompts[i].greedy_ids) << "prompt " << i;
    decoder_->close(ids[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace phial
