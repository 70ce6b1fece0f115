#include "eval/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/golden_models.h"

namespace phial {
namespace {

std::unique_ptr<Sequence> open_sequence(const std::string& name, int64_t context = 128) {
  return must(Sequence::create(load_decoder(name, "", 1), context));
}

std::vector<int32_t> text_ids() {
  std::vector<int32_t> ids(150);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * i * 7 + i) % 400);
  return ids;
}

CompareOptions options_of(int64_t vocabulary) {
  CompareOptions options;
  options.windows = {.context = 64, .stride = 24};
  options.vocabulary = vocabulary;
  options.continuations = 3;
  options.new_tokens = 8;
  return options;
}

// Softmax in long double, straight from its definition.
std::vector<long double> probabilities(std::span<const float> logits) {
  std::vector<long double> p(logits.begin(), logits.end());
  const long double most = *std::ranges::max_element(p);
  for (long double& x : p) x = std::exp(x - most);
  const long double sum = std::accumulate(p.begin(), p.end(), 0.0L);
  for (long double& x : p) x /= sum;
  return p;
}

class CompareTest : public testing::Test {
 protected:
  std::vector<int32_t> ids_ = text_ids();
  std::unique_ptr<Sequence> a_ = open_sequence("llama-smol-f32.gguf");
  std::unique_ptr<Sequence> b_ = open_sequence("llama-smol-q4_1.gguf");
};

TEST_F(CompareTest, IsTheDefinition) {
  constexpr int64_t kVocabulary = 401;  // the rest stands for padding rows
  const CompareOptions options = options_of(kVocabulary);
  const CompareReport report = must(compare(*a_, *b_, ids_, options, {}, nullptr));

  long double kl_sum = 0, nll_a = 0, nll_b = 0;
  std::vector<double> kls;
  int64_t same = 0;
  Sequence* const both[] = {a_.get(), b_.get()};
  const auto on_rows = [&](int64_t at, int64_t rows) -> Status {
    for (int64_t r = 0; r < rows; ++r) {
      const auto p = probabilities(a_->logits().row(r).first(kVocabulary));
      const auto q = probabilities(b_->logits().row(r).first(kVocabulary));
      long double kl = 0;
      for (size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
      kl_sum += kl;
      kls.push_back(static_cast<double>(kl));
      const auto target = static_cast<size_t>(ids_[static_cast<size_t>(at + r + 1)]);
      nll_a -= std::log(p[target]);
      nll_b -= std::log(q[target]);
      same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
    }
    return {};
  };
  must(read_windows("test", both, ids_, options.windows, on_rows, {}, nullptr));

  const Divergence& got = report.divergence;
  const auto count = static_cast<long double>(kls.size());
  ASSERT_EQ(got.tokens, 149);
  EXPECT_EQ(got.windows, 5);
  // Each of some 400 terms of a sum near 1 is rounded to 2^-53 of it, as are differences of
  // logarithms near 10: together well below 1e-12.
  EXPECT_NEAR(got.kl_mean, static_cast<double>(kl_sum / count), 1e-12);
  EXPECT_NEAR(got.nll_a, static_cast<double>(nll_a / count), 1e-12);
  EXPECT_NEAR(got.nll_b, static_cast<double>(nll_b / count), 1e-12);
  EXPECT_EQ(got.same_top, same);
  const auto most = std::ranges::max_element(kls);
  EXPECT_NEAR(got.kl_max, *most, 1e-12);
  EXPECT_EQ(got.kl_max_at, most - kls.begin() + 1);
  std::ranges::sort(kls);
  EXPECT_NEAR(got.kl_median, kls[74], 1e-12);
  EXPECT_NEAR(got.kl_p99, kls[146] + 0.52 * (kls[147] - kls[146]), 1e-12);  // at 0.99 * 148
  EXPECT_GT(got.kl_mean, 1e-5);
}

TEST_F(CompareTest, EqualModelsDifferByNothing) {
  const auto twin = open_sequence("llama-smol-f32.gguf");
  const CompareReport report = must(compare(*a_, *twin, ids_, options_of(416), {}, nullptr));
  const Divergence& same = report.divergence;
  EXPECT_EQ(same.kl_mean, 0);
  EXPECT_EQ(same.kl_max, 0);
  EXPECT_EQ(same.nll_a, same.nll_b);
  EXPECT_EQ(same.same_top, same.tokens);
  EXPECT_EQ(same.decided_top, same.decided);
  EXPECT_EQ(same.widest_gap, 0);
  ASSERT_EQ(report.continuations.size(), 3u);
  for (const Continuation& continuation : report.continuations) {
    EXPECT_EQ(continuation.equal_tokens, 8);
    EXPECT_FALSE(continuation.parting);
  }
  EXPECT_EQ(first_difference(report.continuations), nullptr);
}

TEST_F(CompareTest, ContinuationsAreThoseOfEachModel) {
  CompareOptions options = options_of(416);
  options.new_tokens = 24;
  const CompareReport report = must(compare(*a_, *b_, ids_, options, {}, nullptr));
  ASSERT_EQ(report.continuations.size(), 3u);
  EXPECT_EQ(report.continuations[0].begin, 0);
  EXPECT_EQ(report.continuations[2].begin + report.continuations[2].prompt_tokens, 150);
  int64_t fewest = 24;
  for (const Continuation& continuation : report.continuations) {
    const auto prompt = std::span(ids_).subspan(static_cast<size_t>(continuation.begin),
                                                static_cast<size_t>(continuation.prompt_tokens));
    std::vector<std::vector<int32_t>> answers;
    for (Sequence* sequence : {a_.get(), b_.get()}) {
      must(sequence->rewind(0));
      must(sequence->append(prompt));
      answers.push_back(greedy_ids(*sequence, 24));
    }
    const auto apart = std::ranges::mismatch(answers[0], answers[1]).in1 - answers[0].begin();
    EXPECT_EQ(continuation.equal_tokens, apart);
    ASSERT_EQ(continuation.parting.has_value(), apart < 24);
    if (continuation.parting) {
      EXPECT_EQ(continuation.parting->a, answers[0][static_cast<size_t>(apart)]);
      EXPECT_EQ(continuation.parting->b, answers[1][static_cast<size_t>(apart)]);
      EXPECT_GT(continuation.parting->gap, 0);
    }
    fewest = std::min(fewest, continuation.equal_tokens);
  }
  ASSERT_NE(first_difference(report.continuations), nullptr);
  EXPECT_EQ(first_difference(report.continuations)->equal_tokens, fewest);
}

TEST_F(CompareTest, TellsHowFarItIsAndCanBeStopped) {
  int64_t last = 0;
  const auto tell = [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 149 + 3 * 8);
    last = done;
    return true;
  };
  must(compare(*a_, *b_, ids_, options_of(416), tell, nullptr));
  EXPECT_EQ(last, 149 + 3 * 8);
  for (const int64_t stop_at : {int64_t{1}, int64_t{150}}) {
    const auto stop = [&](int64_t done, int64_t) { return done < stop_at; };
    auto stopped = compare(*a_, *b_, ids_, options_of(416), stop, nullptr);
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
    EXPECT_EQ(a_->length(), 0);
    EXPECT_EQ(b_->length(), 0);
  }
  CancelFlag cancel;
  cancel.request();
  EXPECT_EQ(compare(*a_, *b_, ids_, options_of(416), {}, &cancel).error().code,
            ErrorCode::cancelled);
}

TEST_F(CompareTest, RefusesWhatMakesNoSense) {
  const auto code = [&](auto&& change) {
    CompareOptions options = options_of(416);
    std::vector<int32_t> ids = ids_;
    change(options, ids);
    auto result = compare(*a_, *b_, ids, options, {}, nullptr);
    return result.ok() ? ErrorCode::internal : result.error().code;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(code([](auto& o, Ids&) { o.vocabulary = 417; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& o, Ids&) { o.vocabulary = 1; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& o, Ids&) { o.continuations = -1; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& o, Ids&) { o.new_tokens = 0; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& o, Ids&) { o.new_tokens = 128; }), ErrorCode::usage);
  EXPECT_EQ(code([](auto& o, Ids&) { o.windows.context = 129; }), ErrorCode::over_limit);
  EXPECT_EQ(code([](auto&, Ids& ids) { ids.resize(1); }), ErrorCode::invalid_input);
  EXPECT_EQ(code([](auto&, Ids& ids) { ids[3] = -1; }), ErrorCode::invalid_input);
  EXPECT_EQ(code([](auto& o, Ids& ids) {
              o.vocabulary = 410;
              ids[3] = 410;
            }),
            ErrorCode::invalid_input);
  EXPECT_EQ(compare(*a_, *a_, ids_, options_of(416), {}, nullptr).error().code, ErrorCode::usage);
}

TEST(Quantile, IsThatOfNumpy) {
  const auto of = [](std::vector<double> values, double q) { return quantile(values, q); };
  EXPECT_EQ(of({7}, 0.99), 7);
  EXPECT_EQ(of({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(of({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_EQ(of({4, 1, 2, 3}, 0), 1);
  EXPECT_EQ(of({4, 1, 2, 3}, 1), 4);
  EXPECT_DOUBLE_EQ(of({10, 0}, 0.99), 9.9);
}

}  // namespace
}  // namespace phial
