// The promises of the decoder seam, on a tiny model.
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <thread>

#include "engine/golden_models.h"
#include "generate/sampling.h"

namespace phial {
namespace {

constexpr char kModel[] = "llama-smol";

class DecoderTest : public testing::Test {
 protected:
  DecoderTest() : golden_(load_golden(kModel)), decoder_(load_decoder(kModel, "", 2)) {}

  SequenceId open() { return must(decoder_->open(decoder_->traits().context)); }

  Step step(SequenceId sequence, std::span<const int32_t> tokens,
            LogitsRows rows = LogitsRows::last) const {
    Step s;
    s.sequence = sequence;
    s.tokens = tokens;
    s.logits = rows;
    return s;
  }

  std::vector<float> run(Decoder& decoder, SequenceId sequence, std::span<const int32_t> tokens) {
    const Step s = step(sequence, tokens);
    Logits logits;
    must(decoder.forward({&s, 1}, logits, nullptr));
    return logits.values;
  }

  ErrorCode error_of(const Step& s) {
    Logits logits;
    const Status status = decoder_->forward({&s, 1}, logits, nullptr);
    return status.ok() ? ErrorCode::internal : status.error().code;
  }

  Golden golden_;
  std::shared_ptr<Decoder> decoder_;
};

TEST_F(DecoderTest, ForwardIsAllOrNothing) {
  const SequenceId a = open();
  const SequenceId small = must(decoder_->open(4));
  run(*decoder_, a, std::span(golden_.prompt_ids).first(10));
  const Step steps[] = {step(a, std::span(golden_.prompt_ids).subspan(10, 20)),
                        step(small, std::span(golden_.prompt_ids).first(5))};
  Logits logits;
  const Status status = decoder_->forward(steps, logits, nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::context_full);
  EXPECT_EQ(decoder_->length(a), 10);
  EXPECT_EQ(decoder_->length(small), 0);
  EXPECT_TRUE(logits.values.empty());

  const SequenceId b = open();
  run(*decoder_, b, std::span(golden_.prompt_ids).first(10));
  const auto rest = std::span(golden_.prompt_ids).subspan(10);
  EXPECT_EQ(run(*decoder_, a, rest), run(*decoder_, b, rest));
}

TEST_F(DecoderTest, CancelledForwardLeavesTheSequence) {
  const SequenceId a = open();
  run(*decoder_, a, std::span(golden_.prompt_ids).first(30));
  CancelFlag cancel;
  cancel.request();
  const Step s = step(a, std::span(golden_.prompt_ids).subspan(30));
  Logits logits;
  const Status status = decoder_->forward({&s, 1}, logits, &cancel);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_EQ(decoder_->length(a), 30);
  const SequenceId b = open();
  run(*decoder_, b, std::span(golden_.prompt_ids).first(30));
  const auto rest = std::span(golden_.prompt_ids).subspan(30);
  EXPECT_EQ(run(*decoder_, a, rest), run(*decoder_, b, rest));
}

TEST_F(DecoderTest, CancelledAtAnyInstant) {
  const SequenceId want_id = open();
  const std::vector<float> want = run(*decoder_, want_id, golden_.prompt_ids);
  for (int round = 0; round < 50; ++round) {
    const SequenceId a = open();
    CancelFlag cancel;
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(20 * round));
      cancel.request();
    });
    const Step s = step(a, golden_.prompt_ids);
    Logits logits;
    const Status status = decoder_->forward({&s, 1}, logits, &cancel);
    other.join();
    if (status.ok()) {
      EXPECT_EQ(logits.values, want);
    } else {
      EXPECT_EQ(status.error().code, ErrorCode::cancelled);
      EXPECT_EQ(decoder_->length(a), 0);
      EXPECT_EQ(run(*decoder_, a, golden_.prompt_ids), want);
    }
    decoder_->close(a);
  }
}

TEST_F(DecoderTest, NamesBadSteps) {
  const SequenceId a = open();
  const int32_t beyond = static_cast<int32_t>(golden_.vocabulary);
  const int32_t negative = -1;
  EXPECT_EQ(error_of(step(a, {&beyond, 1})), ErrorCode::invalid_input);
  EXPECT_EQ(error_of(step(a, {&negative, 1})), ErrorCode::invalid_input);
  EXPECT_EQ(error_of(step(a, {})), ErrorCode::invalid_input);
  EXPECT_EQ(error_of(step(12345, golden_.prompt_ids)), ErrorCode::usage);
  Step adapted = step(a, golden_.prompt_ids);
  adapted.adapter = 0;
  EXPECT_EQ(error_of(adapted), ErrorCode::unsupported);
  const float one = 1;
  Step torn = step(a, {});
  torn.embeddings = {&one, 1};
  EXPECT_EQ(error_of(torn), ErrorCode::invalid_input);
  const Step twice[] = {step(a, golden_.prompt_ids), step(a, golden_.prompt_ids)};
  Logits logits;
  EXPECT_EQ(decoder_->forward(twice, logits, nullptr).error().code, ErrorCode::usage);
  EXPECT_EQ(decoder_->length(a), 0);
  EXPECT_EQ(decoder_->open(0).error().code, ErrorCode::usage);
  EXPECT_EQ(decoder_->open(decoder_->traits().context + 1).error().code, ErrorCode::usage);
  EXPECT_EQ(decoder_->truncate(a, 1).error().code, ErrorCode::usage);
  EXPECT_EQ(decoder_->fork(a, -1).error().code, ErrorCode::usage);
}

TEST_F(DecoderTest, EmbeddingRowsStandForTokens) {
  const auto model = load_model(kModel);
  const MatrixView& table = model->weights.embedding;
  std::vector<float> rows(golden_.prompt_ids.size() * static_cast<size_t>(table.columns));
  for (size_t i = 0; i < golden_.prompt_ids.size(); ++i) {
    decode_row(table.grid, table.row(golden_.prompt_ids[i]), table.columns,
               rows.data() + i * static_cast<size_t>(table.columns));
  }
  const SequenceId a = open();
  Step s;
  s.sequence = a;
  s.embeddings = rows;
  Logits logits;
  must(decoder_->forward({&s, 1}, logits, nullptr));
  EXPECT_EQ(logits.values, run(*decoder_, open(), golden_.prompt_ids));
}

// What a failed pass has stored behind the sequence must not reach later ones.
TEST_F(DecoderTest, NumbersThatAreNoneDoNotStay) {
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::bf16, KvType::int8, KvType::int4}) {
    const auto decoder = must(make_native_decoder(must(Runtime::create(2, "", disk_files())),
                                                  load_model(kModel), {.kv = kv}));
    const auto begin = std::span(golden_.prompt_ids).first(3);
    const SequenceId a = must(decoder->open(64)), b = must(decoder->open(64));
    run(*decoder, a, begin);
    run(*decoder, b, begin);
    const std::vector<float> bad(3 * static_cast<size_t>(decoder->traits().hidden),
                                 std::numeric_limits<float>::quiet_NaN());
    Step s;
    s.sequence = a;
    s.embeddings = bad;
    s.logits = LogitsRows::last;
    Logits logits;
    ASSERT_FALSE(decoder->forward({&s, 1}, logits, nullptr).ok());
    const auto next = std::span(golden_.prompt_ids).subspan(3, 1);
    EXPECT_EQ(run(*decoder, a, next), run(*decoder, b, next)) << kv_type_name(kv);
  }
}

// Rows that share a pass of up to eight do not change each other, bit for bit.
TEST_F(DecoderTest, BatchInvariance) {
  std::vector<SequenceId> ids;
  std::vector<std::vector<float>> alone;
  for (size_t i = 0; i < 8; ++i) {
    const auto prompt = std::span(golden_.prompt_ids).subspan(i, 3 + 5 * i);
    const SequenceId scratch = open();
    run(*decoder_, scratch, prompt);
    alone.push_back(run(*decoder_, scratch, {&golden_.greedy_ids[i], 1}));
    ids.push_back(open());
    run(*decoder_, ids.back(), prompt);
  }
  for (size_t n = 1; n <= 8; ++n) {
    std::vector<Step> steps;
    for (size_t i = 0; i < n; ++i) steps.push_back(step(ids[i], {&golden_.greedy_ids[i], 1}));
    Logits logits;
    must(decoder_->forward(steps, logits, nullptr));
    for (size_t i = 0; i < n; ++i) {
      const auto row = logits.row(logits.first_row[i]);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), alone[i].begin())) << n << " rows, row " << i;
      must(decoder_->truncate(ids[i], decoder_->length(ids[i]) - 1));
    }
  }
}

TEST_F(DecoderTest, ThreadCountDoesNotChangeTheLogits) {
  const std::vector<float> want = run(*decoder_, open(), golden_.prompt_ids);
  const std::vector<float> want_one =
      run(*decoder_, open(), std::span(golden_.prompt_ids).first(1));
  for (const int threads : {1, 3, 4}) {
    const auto other = load_decoder(kModel, "", threads);
    EXPECT_EQ(run(*other, must(other->open(100)), golden_.prompt_ids), want);
    EXPECT_EQ(run(*other, must(other->open(100)), std::span(golden_.prompt_ids).first(1)),
              want_one);
  }
}

TEST_F(DecoderTest, ThreadsTakeTurns) {
  const std::vector<float> want = run(*decoder_, open(), golden_.prompt_ids);
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> got(4);
  for (size_t t = 0; t < got.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 5; ++round) {
        const SequenceId id = open();
        got[t] = run(*decoder_, id, golden_.prompt_ids);
        decoder_->close(id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& logits : got) EXPECT_EQ(logits, want);
}

TEST_F(DecoderTest, LogitsRowsOfMixedSteps) {
  const SequenceId a = open(), b = open(), c = open();
  const Step steps[] = {step(a, std::span(golden_.prompt_ids).first(3), LogitsRows::all),
                        step(b, golden_.prompt_ids, LogitsRows::none),
                        step(c, golden_.prompt_ids, LogitsRows::last)};
  Logits logits;
  must(decoder_->forward(steps, logits, nullptr));
  EXPECT_EQ(logits.rows(), 4);
  EXPECT_EQ(logits.first_row, (std::vector<int64_t>{0, 3, 3}));
  EXPECT_EQ(must(argmax(logits.row(3))), golden_.greedy_ids[0]);
}

}  // namespace
}  // namespace phial
