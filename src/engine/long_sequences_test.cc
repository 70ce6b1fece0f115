// What the native decoder does where a sequence crosses LongRoPE's limit (40) or outgrows a window
// (20): all or nothing, named errors, and no more memory than a window needs.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/rng.h"
#include "engine/family_goldens.h"

namespace phial {
namespace {

class LongSequencesTest : public testing::Test {
 protected:
  void load(const std::string& variant, const std::string& isa = "") {
    model_ = load_family(family_variant(variant), /*from_gguf=*/false);
    decoder_ = must(make_native_decoder(must(Runtime::create(2, isa, disk_files())), model_));
    Rng rng(3);
    for (int32_t& id : ids_) id = static_cast<int32_t>(rng.next() % 40);
  }

  SequenceId open() { return must(decoder_->open(decoder_->traits().context)); }

  Step step(SequenceId id, size_t begin, size_t end, LogitsRows rows = LogitsRows::last) const {
    Step s;
    s.sequence = id;
    s.tokens = std::span(ids_).subspan(begin, end - begin);
    s.logits = rows;
    return s;
  }

  std::vector<float> run(const Step& s) {
    Logits logits;
    must(decoder_->forward({&s, 1}, logits, nullptr));
    return logits.values;
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Decoder> decoder_;
  std::vector<int32_t> ids_ = std::vector<int32_t>(160);
};

// Reading again is the very computation of a fresh sequence: equal bit for bit.
TEST_F(LongSequencesTest, CrossingIsAFreshForward) {
  load("phi3-128k");
  for (const size_t at : {1, 39, 40}) {
    const SequenceId a = open(), b = open();
    run(step(a, 0, at));
    const std::vector<float> crossed = run(step(a, at, 41));
    EXPECT_EQ(crossed, run(step(b, 0, 41))) << at;
    // Back to the limit: the short set again.
    must(decoder_->truncate(a, 30));
    const SequenceId c = open();
    EXPECT_EQ(run(step(a, 30, 40)), run(step(c, 0, 40))) << at;
  }
}

// Who shares the forward changes no bit, of the sequence that reads again nor of the others.
TEST_F(LongSequencesTest, CrossingBesideOthersIsCrossingAlone) {
  load("phi3-128k");
  const auto prepared = [&](size_t at) {
    const SequenceId id = open();
    run(step(id, 0, at));
    return id;
  };
  const std::vector<float> crossed = run(step(prepared(40), 40, 41));
  const std::vector<float> other = run(step(prepared(10), 10, 11));
  const SequenceId first = prepared(10), middle = prepared(40), last = prepared(10);
  const Step steps[] = {step(first, 10, 11), step(middle, 40, 41), step(last, 10, 11)};
  Logits logits;
  must(decoder_->forward(steps, logits, nullptr));
  const auto row = [&](int64_t r) {
    const std::span<float> values = logits.row(r);
    return std::vector<float>(values.begin(), values.end());
  };
  EXPECT_EQ(row(0), other);
  EXPECT_EQ(row(1), crossed);
  EXPECT_EQ(row(2), other);
}

TEST_F(LongSequencesTest, CutBackAndGrownOverTheLimitAgainReusesTheCache) {
  load("phi3-128k");
  const SequenceId a = open(), b = open();
  run(step(a, 0, 60));
  must(decoder_->truncate(a, 35));
  run(step(b, 0, 60));
  must(decoder_->truncate(b, 50));
  // Rows 35..59 in one pass of 25 rows, and rows 50..59: the same keys before them.
  const std::vector<float> got = run(step(a, 35, 60, LogitsRows::all));
  const std::vector<float> want = run(step(b, 50, 60, LogitsRows::all));
  EXPECT_TRUE(std::equal(want.begin(), want.end(), got.end() - static_cast<long>(want.size())));
}

TEST_F(LongSequencesTest, FailedCrossingLeavesEverySequence) {
  load("phi3-128k");
  const SequenceId a = open(), b = open();
  run(step(a, 0, 38));
  const SequenceId small = must(decoder_->open(5));
  const Step steps[] = {step(a, 38, 50), step(small, 0, 6)};
  Logits logits;
  EXPECT_EQ(decoder_->forward(steps, logits, nullptr).error().code, ErrorCode::context_full);
  EXPECT_EQ(decoder_->length(a), 38);
  run(step(b, 0, 38));
  EXPECT_EQ(run(step(a, 38, 40)), run(step(b, 38, 40)));
  EXPECT_EQ(run(step(a, 40, 50)), run(step(b, 40, 50)));
}

// The flag is set at some instant of a forward that reads 150 positions again.
TEST_F(LongSequencesTest, CancelledWhileReadingAgain) {
  for (const char* variant : {"phi3-128k", "mistral", "gemma2"}) {
    load(variant, "reference");  // slow enough to be met in the middle
    const SequenceId reference = open();
    run(step(reference, 0, 38));
    const std::vector<float> want_short = run(step(reference, 38, 40));
    const std::vector<float> want_long = run(step(reference, 40, 150));
    int cancelled = 0;
    for (int round = 0; round < 12; ++round) {
      const SequenceId a = open();
      run(step(a, 0, 38));
      CancelFlag flag;
      std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::microseconds(150 * round));
        flag.request();
      });
      const Step s = step(a, 38, 150);
      Logits logits;
      const Status status = decoder_->forward({&s, 1}, logits, &flag);
      other.join();
      if (!status.ok()) {
        ++cancelled;
        EXPECT_EQ(status.error().code, ErrorCode::cancelled);
        EXPECT_EQ(decoder_->length(a), 38);
        EXPECT_EQ(run(step(a, 38, 40)), want_short) << variant;
        EXPECT_EQ(run(step(a, 40, 150)), want_long) << variant;
      }
      decoder_->close(a);
    }
    EXPECT_GT(cancelled, 0);
  }
}

TEST_F(LongSequencesTest, EmbeddingRowsCannotBeReadAgain) {
  load("phi3-128k");
  const std::vector<float> rows(static_cast<size_t>(3 * model_->spec.hidden), 0.25f);
  const SequenceId a = open();
  Step embedded;
  embedded.sequence = a;
  embedded.embeddings = rows;
  run(embedded);
  run(step(a, 3, 40));
  Logits logits;
  const Step crossing = step(a, 40, 41);
  const Status status = decoder_->forward({&crossing, 1}, logits, nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  EXPECT_NE(status.error().to_string().find("embedding rows"), std::string::npos);
  EXPECT_EQ(decoder_->length(a), 40);
  // Rows that cross as the step's own are fine: what has to be read again are tokens.
  const SequenceId b = open();
  run(step(b, 0, 39));
  embedded.sequence = b;
  run(embedded);
  EXPECT_EQ(decoder_->length(b), 42);
}

// A sequence may be cut to any length, also where the window's pages are gone.
TEST_F(LongSequencesTest, RewindBehindTheWindowReadsAgain) {
  load("mistral");
  const SequenceId a = open(), b = open();
  run(step(a, 0, 150));
  must(decoder_->truncate(a, 70));
  EXPECT_EQ(decoder_->length(a), 70);
  EXPECT_EQ(run(step(a, 70, 71)), run(step(b, 0, 71)));
}

}  // namespace
}  // namespace phial
