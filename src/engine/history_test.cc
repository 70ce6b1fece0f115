// Whatever was done to a sequence, its logits are those of one forward pass over its tokens: random
// appends, computations, cancellations, rewinds, forks, saves and loads, on both sides of
// LongRoPE's limit and with windows.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "engine/family_goldens.h"

namespace phial {
namespace {

// Of the range of the logits. Only the order of sums differs: some hundred roundings of 6e-8 each,
// part of which cancel. A key or value may thereby fall to the other side of a rounding of its
// type: even if all of them did, that would be one step each.
double tolerance_of(KvType kv) {
  switch (kv) {
    case KvType::f32:
      return 2e-5;
    case KvType::f16:
      return 0x1p-10;
    case KvType::bf16:
      return 0x1p-7;
    case KvType::int8:
      return 1.0 / 127;
    case KvType::int4:
      return 2.0 / 15;
  }
  return 0;
}
constexpr int kSequences = 200;
constexpr int kSlowSequences = 40;  // on the reference, and of other types
constexpr int kOperations = 25;

struct Case {
  std::string variant;
  std::string isa;
  KvType kv = KvType::f32;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const KernelTable* best = must(select_kernels(""));
  for (const char* variant : {"phi3-128k", "phi4-mini", "phi3-4k", "mistral", "qwen2-window",
                              "gemma2", "llama3.1", "qwen3"}) {
    cases.push_back({variant, "reference"});
    if (best->isa != std::string("reference")) cases.push_back({variant, best->isa});
    for (const KvType kv : {KvType::f16, KvType::bf16, KvType::int8, KvType::int4}) {
      cases.push_back({variant, best->isa, kv});
    }
  }
  return cases;
}

class HistoryTest : public testing::TestWithParam<Case> {
 protected:
  HistoryTest() {
    const FamilyVariant variant = family_variant(GetParam().variant);
    model_ = load_family(variant, /*from_gguf=*/false);
    decoder_ = must(make_native_decoder(must(Runtime::create(1, GetParam().isa, disk_files())),
                                        model_, {.kv = GetParam().kv}));
  }

  int64_t below(int64_t n) { return static_cast<int64_t>(rng_.next() % static_cast<uint64_t>(n)); }

  // One forward pass over the same tokens.
  Logits whole(const std::vector<int32_t>& tokens) {
    auto fresh = must(Sequence::create(decoder_, 0));
    must(fresh->append(tokens));
    must(fresh->compute_logits(LogitsRows::all, nullptr));
    return std::move(fresh->logits());
  }

  void append(Sequence& sequence) {
    // Mostly as decoding or a chat would; now and then a jump.
    const int64_t most = below(4) == 0 ? 60 : 3;
    const int64_t room = std::min(sequence.context() - sequence.length(), 1 + below(most));
    std::vector<int32_t> ids(static_cast<size_t>(room));
    for (int32_t& id : ids) id = static_cast<int32_t>(below(model_->spec.vocabulary));
    must(sequence.append(ids));
  }

  void compute(Sequence& sequence) {
    if (sequence.length() == 0) return;
    if (sequence.computed() == sequence.length() && sequence.logits().rows() > 0) return;
    const LogitsRows rows = below(2) == 0 ? LogitsRows::all : LogitsRows::last;
    must(sequence.compute_logits(rows, nullptr));
    Logits& got = sequence.logits();
    Logits want = whole(sequence.tokens());
    const auto [low, high] = std::ranges::minmax(want.values);
    const double bound =
        tolerance_of(GetParam().kv) * (static_cast<double>(high) - static_cast<double>(low));
    const int64_t first = want.rows() - got.rows();
    double worst = 0;
    for (int64_t r = 0; r < got.rows(); ++r) {
      for (int64_t c = 0; c < got.vocabulary; ++c) {
        const auto at = static_cast<size_t>(c);
        worst = std::max(worst, std::abs(static_cast<double>(got.row(r)[at]) -
                                         static_cast<double>(want.row(first + r)[at])));
      }
    }
    ASSERT_LE(worst, bound) << "sequence of " << sequence.length();
    ++computed_;
  }

  // A computation that is cancelled before its first layer leaves no trace.
  void cancel(Sequence& sequence) {
    if (sequence.computed() == sequence.length()) return;
    CancelFlag flag;
    flag.request();
    EXPECT_FALSE(sequence.compute_logits(LogitsRows::last, &flag).ok());
  }

  // What is loaded holds what was saved, and takes its place.
  void save_and_load(std::unique_ptr<Sequence>& sequence) {
    must(sequence->save(files_, "saved"));
    auto loaded = must(Sequence::load(decoder_, 0, files_, "saved"));
    ASSERT_EQ(loaded->tokens(), sequence->tokens());
    ASSERT_EQ(loaded->computed(), sequence->computed());
    sequence = std::move(loaded);
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Decoder> decoder_;
  MemoryFiles files_;
  Rng rng_{17};
  int computed_ = 0;
};

TEST_P(HistoryTest, AnyHistoryGivesTheLogitsOfOnePass) {
  const bool is_slow = GetParam().isa == "reference" || GetParam().kv != KvType::f32;
  const int rounds = is_slow ? kSlowSequences : kSequences;
  for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
    std::vector<std::unique_ptr<Sequence>> family;
    family.push_back(must(Sequence::create(decoder_, 0)));
    append(*family[0]);
    for (int i = 0; i < kOperations && !HasFatalFailure(); ++i) {
      const auto which = static_cast<size_t>(below(static_cast<int64_t>(family.size())));
      Sequence& sequence = *family[which];
      switch (below(9)) {
        case 0:
          must(sequence.rewind(below(sequence.length() + 1)));
          break;
        case 1:
          must(sequence.rewind(std::max<int64_t>(0, sequence.length() - 1 - below(3))));
          break;
        case 2:
          if (family.size() < 4) family.push_back(must(sequence.fork()));
          break;
        case 3:
          cancel(sequence);
          break;
        case 8:
          save_and_load(family[which]);
          break;
        case 4:
        case 5:
          append(sequence);
          break;
        default:
          compute(sequence);
      }
    }
    for (auto& sequence : family) compute(*sequence);
  }
  EXPECT_GT(computed_, 5 * rounds);
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.variant + "_" + info.param.isa + "_" + kv_type_name(info.param.kv);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Variants, HistoryTest, testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace phial
