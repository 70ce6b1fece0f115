// Every family and variant against transformers, from safetensors and from GGUF, on every
// instruction set: logits within 2e-4 of their range and equal greedy tokens, however the tokens
// are fed and whichever way a sequence crosses LongRoPE's limit or outgrows a window.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/family_goldens.h"
#include "generate/sampling.h"

namespace phial {
namespace {

// Of the logit range; the stored logits take up 8e-6 of it.
constexpr double kTolerance = 2e-4;

struct Case {
  FamilyVariant variant;
  bool from_gguf;
  std::string isa;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const FamilyVariant& variant : family_variants()) {
    for (const KernelTable* table : kernel_tables()) {
      if (!is_supported(*table)) continue;
      cases.push_back({variant, false, table->isa});
      if (!variant.gguf.empty()) cases.push_back({variant, true, table->isa});
    }
  }
  return cases;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.variant.name + (info.param.from_gguf ? "_gguf_" : "_");
  name += info.param.isa;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

class FamiliesTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    model_ = load_family(GetParam().variant, GetParam().from_gguf);
    // Two threads once for each variant: one alone would not miss a barrier. Not everywhere,
    // because tiny steps wait long for each other on a machine that is busy.
    const bool best = GetParam().isa == must(select_kernels(""))->isa;
    const int threads = GetParam().from_gguf && best ? 2 : 1;
    decoder_ = must(
        make_native_decoder(must(Runtime::create(threads, GetParam().isa, disk_files())), model_));
    golden_ =
        load_family_golden(GetParam().variant.golden, static_cast<size_t>(model_->spec.vocabulary));
  }

  std::unique_ptr<Sequence> open() { return must(Sequence::create(decoder_, 0)); }

  std::span<const int32_t> ids(size_t begin, size_t count) const {
    return std::span(golden_.ids).subspan(begin, count);
  }

  // Appends ids [length, end) of the golden and compares all of their rows.
  void feed(Sequence& sequence, size_t end) {
    const auto begin = static_cast<size_t>(sequence.length());
    must(sequence.append(ids(begin, end - begin)));
    const auto first = static_cast<size_t>(sequence.computed());
    must(sequence.compute_logits(LogitsRows::all, nullptr));
    expect_rows(sequence.logits(), first, end);
  }

  // Rows of positions [first, ...) of a sequence that has `length` tokens.
  void expect_rows(Logits& logits, size_t first, size_t length) {
    double worst = 0;
    for (int64_t r = 0; r < logits.rows(); ++r) {
      const float* want = golden_.row(first + static_cast<size_t>(r), length);
      for (int64_t c = 0; c < logits.vocabulary; ++c) {
        const double got = logits.row(r)[static_cast<size_t>(c)];
        worst = std::max(worst, std::abs(got - static_cast<double>(want[c])));
      }
    }
    EXPECT_LE(worst, kTolerance * golden_.range) << "rows from " << first << " of " << length;
  }

  // Whether the rows depend on nothing but the tokens.
  bool is_pure() const { return golden_.cached_prompt == 0; }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Decoder> decoder_;
  FamilyGolden golden_;
};

TEST_P(FamiliesTest, PromptAtOnce) {
  auto sequence = open();
  feed(*sequence, is_pure() ? golden_.ids.size() : golden_.cached_prompt);
}

TEST_P(FamiliesTest, PromptThenSingleSteps) {
  auto sequence = open();
  size_t at = is_pure() ? 10 : golden_.cached_prompt;
  feed(*sequence, at);
  while (at < golden_.ids.size()) feed(*sequence, ++at);
}

TEST_P(FamiliesTest, ChunksOfAnySize) {
  if (!is_pure()) return;
  for (const size_t chunk : {3, 8, 13, 39, 40, 41, 64, 65}) {
    auto sequence = open();
    for (size_t at = 0; at < golden_.ids.size();) {
      at = std::min(at + chunk, golden_.ids.size());
      feed(*sequence, at);
    }
  }
}

TEST_P(FamiliesTest, AfterRewinds) {
  if (!is_pure()) return;
  const size_t end = golden_.ids.size();
  auto sequence = open();
  feed(*sequence, end);
  // Across the limit of 40, the window of 20 and the pages of 64, back and forth.
  for (const size_t length :
       {end - 1, end - 9, size_t{70}, size_t{41}, size_t{40}, size_t{37}, size_t{20}, size_t{1}}) {
    must(sequence->rewind(static_cast<int64_t>(length)));
    must(sequence->compute_logits(LogitsRows::last, nullptr));
    expect_rows(sequence->logits(), length - 1, length);
    feed(*sequence, length + 1);
    must(sequence->rewind(static_cast<int64_t>(length)));
    feed(*sequence, end);
  }
}

TEST_P(FamiliesTest, ForksAreIndependent) {
  if (!is_pure()) return;
  const size_t end = golden_.ids.size();
  for (const size_t at : {5, 39, 40, 41, 66}) {
    auto sequence = open();
    feed(*sequence, at);
    auto fork = must(sequence->fork());
    must(fork->append(ids(3, 50)));  // crosses, with other tokens
    must(fork->compute_logits(LogitsRows::last, nullptr));
    feed(*sequence, end);
    must(fork->rewind(static_cast<int64_t>(at)));
    sequence.reset();
    feed(*fork, at + 1);
    feed(*fork, end);
  }
}

TEST_P(FamiliesTest, GreedyTokens) {
  for (const Golden::Short& prompt : golden_.prompts) {
    auto sequence = open();
    must(sequence->append(prompt.prompt_ids));
    EXPECT_EQ(greedy_ids(*sequence, prompt.greedy_ids.size()), prompt.greedy_ids)
        << "prompt of " << prompt.prompt_ids.size();
  }
}

TEST_P(FamiliesTest, BatchOfUnequalLengths) {
  std::vector<std::vector<int32_t>> produced(golden_.prompts.size());
  std::vector<SequenceId> sequences;
  for (size_t i = 0; i < golden_.prompts.size(); ++i) {
    sequences.push_back(must(decoder_->open(decoder_->traits().context)));
  }
  for (size_t n = 0; n < golden_.prompts[0].greedy_ids.size(); ++n) {
    std::vector<Step> batch;
    for (size_t i = 0; i < sequences.size(); ++i) {
      Step step;
      step.sequence = sequences[i];
      step.tokens = n == 0 ? std::span<const int32_t>(golden_.prompts[i].prompt_ids)
                           : std::span<const int32_t>(produced[i]).last(1);
      batch.push_back(step);
    }
    Logits logits;
    must(decoder_->forward(batch, logits, nullptr));
    for (size_t i = 0; i < sequences.size(); ++i) {
      produced[i].push_back(must(argmax(logits.row(logits.first_row[i]))));
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(produced[i], golden_.prompts[i].greedy_ids) << "prompt " << i;
  }
}

TEST_P(FamiliesTest, ThreeChatTurnsOverOneCache) {
  auto sequence = open();
  for (const Golden::Short& turn : golden_.turns) {
    must(sequence->append(turn.prompt_ids));
    EXPECT_EQ(greedy_ids(*sequence, turn.greedy_ids.size()), turn.greedy_ids)
        << "turn that ends at " << sequence->length();
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, FamiliesTest, testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace phial
