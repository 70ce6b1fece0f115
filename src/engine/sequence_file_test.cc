// Saved sequences: what is loaded goes on bit for bit as what was saved; files that were changed in
// any way are refused by name.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/xxh64.h"
#include "engine/budgeted_decoder.h"
#include "engine/family_goldens.h"
#include "engine/fingerprint.h"
#include "engine/memory_need.h"

namespace phial {
namespace {

constexpr size_t kHeadBytes = 40;  // in front of the tokens
constexpr size_t kTokensAt = 24, kComputedAt = 32;

std::shared_ptr<Decoder> decoder_of(const std::string& variant, const std::string& isa = "",
                                    KvType kv = KvType::f32) {
  return must(make_native_decoder(must(Runtime::create(1, isa, disk_files())),
                                  load_family(family_variant(variant), /*from_gguf=*/false),
                                  {.kv = kv}));
}

std::vector<int32_t> some_ids(int64_t count, int64_t from = 0) {
  std::vector<int32_t> ids;
  for (int64_t i = from; i < from + count; ++i) ids.push_back(static_cast<int32_t>(3 + 7 * i % 37));
  return ids;
}

void compute(Sequence& sequence, int64_t more) {
  must(sequence.append(some_ids(more, sequence.length())));
  must(sequence.compute_logits(LogitsRows::last, nullptr));
}

std::unique_ptr<Sequence> sequence_of(const std::shared_ptr<Decoder>& decoder, int64_t length) {
  auto sequence = must(Sequence::create(decoder, 0));
  compute(*sequence, length);
  return sequence;
}

std::string saved(Sequence& sequence) {
  MemoryFiles files;
  must(sequence.save(files, "s"));
  return std::string(must(files.map("s"))->text());
}

Result<std::unique_ptr<Sequence>> load(const std::shared_ptr<Decoder>& decoder, std::string bytes,
                                       int64_t context = 0) {
  MemoryFiles files;
  files.put("s", std::move(bytes));
  return Sequence::load(decoder, context, files, "s");
}

template <class T>
T at(const std::string& bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <class T>
void set(std::string& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

uint64_t hash_of(const std::string& bytes, size_t begin, size_t count, uint64_t seed) {
  return xxh64({reinterpret_cast<const uint8_t*>(bytes.data()) + begin, count}, seed);
}

// Where a part's bytes begin.
size_t part_at(const std::string& bytes, size_t index) {
  size_t offset = kHeadBytes + at<uint64_t>(bytes, kTokensAt) * sizeof(int32_t) + 8;
  for (; index > 0; --index) offset += 16 + at<uint64_t>(bytes, offset);
  return offset + 16;
}

// Makes all checksums those of the contents: a file that somebody made with care.
void sign(std::string& bytes) {
  const size_t covered = kHeadBytes + at<uint64_t>(bytes, kTokensAt) * sizeof(int32_t);
  const uint64_t seed = hash_of(bytes, 0, covered, 0);
  set(bytes, covered, seed);
  uint64_t index = 1;
  for (size_t part = covered + 8; part < bytes.size(); ++index) {
    const auto size = at<uint64_t>(bytes, part);
    set(bytes, part + 8, hash_of(bytes, part + 16, size, seed + index));
    part += 16 + size;
  }
}

class SavedSequence : public testing::TestWithParam<std::tuple<std::string, KvType>> {
 protected:
  static std::shared_ptr<Decoder> decoder() {
    return decoder_of(std::get<0>(GetParam()), "", std::get<1>(GetParam()));
  }
};

TEST_P(SavedSequence, GoesOnBitForBit) {
  const auto decoder = SavedSequence::decoder();
  // On both sides of the limit of 40, of the window of 20 and of pages of 64.
  for (const int64_t length : {1, 19, 20, 21, 39, 40, 41, 63, 64, 65, 100, 130}) {
    auto sequence = sequence_of(decoder, length);
    if (length % 2 != 0) must(sequence->append(some_ids(2)));  // that are not computed yet
    auto loaded = must(load(decoder, saved(*sequence)));
    EXPECT_EQ(saved(*loaded), saved(*sequence));
    EXPECT_EQ(loaded->tokens(), sequence->tokens());
    EXPECT_EQ(loaded->computed(), length);
    const auto expect_same = [&](int64_t more) {
      compute(*sequence, more);
      compute(*loaded, more);
      EXPECT_EQ(loaded->logits().values, sequence->logits().values) << length << " + " << more;
    };
    for (const int64_t more : {1, 1, 7}) expect_same(more);
    auto fork = must(loaded->fork());
    compute(*fork, 1);
    for (const int64_t back : {1, 3, 25}) {
      const int64_t kept = std::max<int64_t>(1, sequence->length() - back);
      must(sequence->rewind(kept));
      must(loaded->rewind(kept));
      expect_same(back == 3 ? 0 : 2);
    }
  }
}

std::string variant_name(const testing::TestParamInfo<std::tuple<std::string, KvType>>& info) {
  std::string name = std::get<0>(info.param) + "_" + kv_type_name(std::get<1>(info.param));
  std::ranges::replace_if(
      name, [](char c) { return c == '-'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Variants, SavedSequence,
                         testing::Combine(testing::Values("phi3-128k", "phi4-mini", "phi3-4k",
                                                          "mistral", "gemma2", "llama-dynamic",
                                                          "qwen3"),
                                          testing::Values(KvType::f32, KvType::f16, KvType::bf16,
                                                          KvType::int8, KvType::int4)),
                         variant_name);

TEST(SavedSequences, OfAnotherTypeAreRefused) {
  const auto bytes = decoder_of("qwen3", "", KvType::int8);
  auto sequence = sequence_of(bytes, 70);
  const auto status = load(decoder_of("qwen3"), saved(*sequence));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_input);
}

// What a sequence has forgotten is in no file: neither in the slots behind its end nor in those
// that share a unit of four positions with it.
TEST(SavedSequences, HoldNothingOfWhatWasTakenBack) {
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::bf16, KvType::int8, KvType::int4}) {
    const auto decoder = decoder_of("qwen3", "", kv);
    for (const int64_t length : {5, 6, 7, 64, 69}) {
      const auto short_one = sequence_of(decoder, length);
      auto taken_back = must(load(decoder, saved(*short_one)));
      compute(*taken_back, 8);
      must(taken_back->rewind(length));
      EXPECT_EQ(saved(*taken_back), saved(*short_one)) << kv_type_name(kv) << " " << length;
    }
  }
}

TEST(SavedSequences, OfOtherTypesAreCheckedToo) {
  for (const KvType kv : {KvType::f16, KvType::bf16, KvType::int8, KvType::int4}) {
    const auto decoder = decoder_of("qwen3", "", kv);
    const std::string good = saved(*sequence_of(decoder, 5));
    // Every 16 bits of the page in turn are those that say NaN in both types of 16 bits.
    const size_t page = part_at(good, 1);
    const auto bytes = at<uint64_t>(good, page - 16);
    size_t refused = 0;
    for (size_t i = 0; i < bytes; i += 2) {
      std::string bad = good;
      set<uint16_t>(bad, page + i, 0x7fff);
      sign(bad);
      const auto loaded = load(decoder, bad);
      if (loaded.ok()) continue;  // codes are numbers whatever they are
      EXPECT_EQ(loaded.error().code, ErrorCode::damaged);
      ++refused;
    }
    const bool is_scaled = kv == KvType::int8 || kv == KvType::int4;
    EXPECT_GT(refused, 0u) << kv_type_name(kv);
    EXPECT_EQ(refused == bytes / 2, !is_scaled) << kv_type_name(kv);
  }
}

TEST(SavedSequences, WithoutAnythingComputed) {
  const auto decoder = decoder_of("phi3-128k");
  auto empty = must(Sequence::create(decoder, 0));
  EXPECT_EQ(must(load(decoder, saved(*empty)))->length(), 0);
  must(empty->append(some_ids(5)));
  auto loaded = must(load(decoder, saved(*empty)));
  EXPECT_EQ(loaded->tokens(), some_ids(5));
  EXPECT_EQ(loaded->computed(), 0);
  compute(*loaded, 0);
  EXPECT_EQ(loaded->logits().values, sequence_of(decoder, 5)->logits().values);
}

// A cut to where the window's pages are gone: the history is there, and has to be read again.
TEST(SavedSequences, WithoutACache) {
  const auto decoder = decoder_of("mistral");
  auto sequence = sequence_of(decoder, 150);
  must(sequence->rewind(70));
  auto loaded = must(load(decoder, saved(*sequence)));
  EXPECT_EQ(loaded->computed(), sequence->computed());
  compute(*sequence, 2);
  compute(*loaded, 2);
  EXPECT_EQ(loaded->logits().values, sequence->logits().values);
}

// An engine that keeps nothing that could be saved.
class Forgetful final : public Decoder {
 public:
  explicit Forgetful(std::shared_ptr<Decoder> decoder) : decoder_(std::move(decoder)) {}
  DecoderTraits traits() const override {
    DecoderTraits traits = decoder_->traits();
    traits.can_save = false;
    return traits;
  }
  uint64_t fingerprint() const override { return decoder_->fingerprint(); }
  Result<SequenceId> open(int64_t context) override { return decoder_->open(context); }
  void close(SequenceId id) override { decoder_->close(id); }
  int64_t length(SequenceId id) const override { return decoder_->length(id); }
  Result<SequenceId> fork(SequenceId id, int64_t n) override { return decoder_->fork(id, n); }
  Status truncate(SequenceId id, int64_t n) override { return decoder_->truncate(id, n); }
  Status forward(std::span<const Step> steps, Logits& logits, const CancelFlag* cancel) override {
    return decoder_->forward(steps, logits, cancel);
  }

 private:
  const std::shared_ptr<Decoder> decoder_;
};

TEST(SavedSequences, AnEngineThatCannotSaveReadsAgain) {
  const auto decoder = decoder_of("qwen3");
  const auto forgetful = std::make_shared<Forgetful>(decoder);
  auto loaded = must(load(decoder, saved(*sequence_of(forgetful, 70))));
  EXPECT_EQ(loaded->length(), 70);
  EXPECT_EQ(loaded->computed(), 0);
  compute(*loaded, 0);
  EXPECT_EQ(loaded->logits().values, sequence_of(decoder, 70)->logits().values);
  // Nor can it take what another one has saved.
  EXPECT_EQ(load(forgetful, saved(*loaded)).error().code, ErrorCode::unsupported);
}

TEST(SavedSequences, AreTakenUpByOtherKernels) {
  const auto reference = decoder_of("phi3-128k", "reference"), best = decoder_of("phi3-128k");
  auto sequence = sequence_of(reference, 70);
  auto loaded = must(load(best, saved(*sequence)));
  EXPECT_EQ(saved(*loaded), saved(*sequence));
}

TEST(SavedSequences, EveryChangedByteIsFound) {
  for (const char* variant : {"phi3-128k", "mistral"}) {
    const auto decoder = decoder_of(variant);
    auto sequence = sequence_of(decoder, 66);
    const std::string good = saved(*sequence);
    ASSERT_TRUE(load(decoder, good).ok());
    for (size_t i = 0; i < good.size(); ++i) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
      const auto loaded = load(decoder, std::move(bytes));
      ASSERT_FALSE(loaded.ok()) << variant << ": byte " << i;
      const ErrorCode expected = i < 12 ? ErrorCode::unsupported : ErrorCode::damaged;
      EXPECT_EQ(loaded.error().code, expected) << i << ": " << loaded.error().to_string();
      EXPECT_EQ(loaded.error().where.rfind("s", 0), 0u) << loaded.error().to_string();
    }
    for (size_t size = 0; size < good.size(); ++size) {
      const auto loaded = load(decoder, good.substr(0, size));
      ASSERT_FALSE(loaded.ok()) << variant << ": " << size << " bytes";
      const ErrorCode expected = size < 8 ? ErrorCode::unsupported : ErrorCode::damaged;
      EXPECT_EQ(loaded.error().code, expected) << size << ": " << loaded.error().to_string();
    }
    EXPECT_EQ(load(decoder, good + '\0').error().code, ErrorCode::damaged);
  }
}

// Parts from elsewhere, whole in themselves.
TEST(SavedSequences, PartsOfOtherFilesDoNotPass) {
  const auto decoder = decoder_of("qwen3");
  const std::string one = saved(*sequence_of(decoder, 130));
  auto other = must(Sequence::create(decoder, 0));
  must(other->append(some_ids(130, 1)));
  must(other->compute_logits(LogitsRows::last, nullptr));
  const std::string two = saved(*other);
  ASSERT_EQ(one.size(), two.size());
  const size_t cache = part_at(one, 0) - 16;
  EXPECT_EQ(load(decoder, one.substr(0, cache) + two.substr(cache)).error().code,
            ErrorCode::damaged);
  // Two pages of one size, the wrong way round.
  const size_t first = part_at(one, 1) - 16, second = part_at(one, 2) - 16,
               third = part_at(one, 3) - 16;
  ASSERT_EQ(second - first, third - second);
  const std::string swapped = one.substr(0, first) + one.substr(second, third - second) +
                              one.substr(first, second - first) + one.substr(third);
  EXPECT_EQ(load(decoder, swapped).error().code, ErrorCode::damaged);
}

// Files whose checksums are right.
class CraftedFile : public testing::Test {
 protected:
  ErrorCode code_of(std::string bytes) {
    const auto loaded = load(decoder_, std::move(bytes));
    return loaded.ok() ? ErrorCode::internal : loaded.error().code;
  }
  template <class T>
  ErrorCode code_with(size_t offset, T value) {
    std::string bytes = good_;
    set(bytes, offset, value);
    sign(bytes);
    return code_of(bytes);
  }

  std::shared_ptr<Decoder> decoder_ = decoder_of("mistral");
  std::string good_ = saved(*sequence_of(decoder_, 160));
};

TEST_F(CraftedFile, Head) {
  EXPECT_EQ(code_of(good_), ErrorCode::internal) << "loads";
  EXPECT_EQ(code_with(8, uint32_t{1}), ErrorCode::unsupported);
  EXPECT_EQ(code_with(12, uint32_t{1}), ErrorCode::damaged);
  EXPECT_EQ(code_with(16, uint64_t{0}), ErrorCode::invalid_input);
  EXPECT_EQ(code_with(kHeadBytes, int32_t{-1}), ErrorCode::invalid_input);
  EXPECT_EQ(code_with(kHeadBytes, int32_t{40}), ErrorCode::invalid_input);
  EXPECT_EQ(code_with(kComputedAt, uint64_t{151}), ErrorCode::damaged);
  EXPECT_EQ(code_with(kComputedAt, uint64_t{149}), ErrorCode::damaged);
  EXPECT_EQ(code_with(kComputedAt, uint64_t{0}), ErrorCode::damaged) << "parts of nothing";
  for (const uint64_t huge : {uint64_t{1} << 30, uint64_t{1} << 62, ~uint64_t{0}}) {
    std::string bytes = good_;
    set(bytes, kTokensAt, huge);
    EXPECT_EQ(code_of(bytes), ErrorCode::damaged);
    EXPECT_EQ(code_with(kComputedAt, huge), ErrorCode::damaged);
    bytes = good_;
    set(bytes, part_at(good_, 0) - 16, huge);
    EXPECT_EQ(code_of(bytes), ErrorCode::damaged);
  }
}

TEST_F(CraftedFile, CacheHead) {
  const size_t head = part_at(good_, 0);
  ASSERT_EQ(at<int64_t>(good_, head + 8), 160);
  ASSERT_EQ(at<int64_t>(good_, head + 56), 2) << "pages that were freed";
  EXPECT_EQ(code_with(head, uint64_t{2}), ErrorCode::damaged);
  EXPECT_EQ(code_with(head + 8, int64_t{159}), ErrorCode::damaged);
  EXPECT_EQ(code_with(head + 8, int64_t{-1}), ErrorCode::damaged);
  EXPECT_EQ(code_with(head + 8, std::numeric_limits<int64_t>::max()), ErrorCode::context_full);
  for (size_t field = 16; field < 56; field += 8) {
    EXPECT_EQ(code_with(head + field, std::numeric_limits<int64_t>::max()),
              ErrorCode::invalid_input)
        << field;
  }
  for (const int64_t passed :
       {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{3}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(code_with(head + 56, passed), ErrorCode::damaged) << passed;
  }
}

// Behind a window of one position nothing but the page of the next is needed, and that always is.
TEST_F(CraftedFile, ThePageInUseWasNotFreed) {
  auto model =
      std::make_shared<Model>(*load_family(family_variant("mistral"), /*from_gguf=*/false));
  for (LayerKind& kind : model->spec.layer_kinds) kind.window = 1;
  decoder_ = must(make_native_decoder(must(Runtime::create(1, "", disk_files())), model));
  good_ = saved(*sequence_of(decoder_, 3));
  const size_t head = part_at(good_, 0);
  ASSERT_EQ(at<int64_t>(good_, head + 56), 0);
  EXPECT_EQ(code_with(head + 56, int64_t{1}), ErrorCode::damaged);
}

TEST_F(CraftedFile, Pages) {
  const size_t page = part_at(good_, 1);
  EXPECT_EQ(code_with(page, std::numeric_limits<float>::quiet_NaN()), ErrorCode::damaged);
  EXPECT_EQ(code_with(page + 4, std::numeric_limits<float>::infinity()), ErrorCode::damaged);
  std::string bytes = good_.substr(0, page - 16);
  EXPECT_EQ(code_of(bytes), ErrorCode::damaged) << "without its pages";
  bytes = good_ + good_.substr(page - 16);
  sign(bytes);
  EXPECT_EQ(code_of(bytes), ErrorCode::damaged) << "a page too many";
  bytes = good_.substr(0, good_.size() - 4);
  set(bytes, page - 16, static_cast<uint64_t>(bytes.size() - page));
  sign(bytes);
  EXPECT_EQ(code_of(bytes), ErrorCode::damaged) << "a short page";
}

TEST(SavedSequences, AreOfOneModel) {
  const std::string bytes = saved(*sequence_of(decoder_of("phi3-4k"), 30));
  EXPECT_TRUE(load(decoder_of("phi3-4k"), bytes).ok());
  for (const char* other : {"phi3-128k", "mistral", "qwen3"}) {
    const auto loaded = load(decoder_of(other), bytes);
    ASSERT_FALSE(loaded.ok()) << other;
    EXPECT_EQ(loaded.error().code, ErrorCode::invalid_input) << loaded.error().to_string();
  }
}

// Models of the same shapes, trained or configured differently.
TEST(SavedSequences, AreOfTheSameWeightsAndConfiguration) {
  const auto text = [](const std::string& name) {
    return must(read_text(*disk_files(), kFamilyGoldens + name, 1u << 20));
  };
  const auto fingerprint = [](const std::string& config, const std::string& weights) {
    MemoryFiles files;
    files.put("m/config.json", config);
    files.put("m/model.safetensors", weights);
    return model_fingerprint(
        *must(open_model(std::make_shared<const Checkpoint>(must(read_checkpoint(files, "m"))))));
  };
  const std::string config = text("mistral.config.json");
  const std::string weights = text(family_variant("mistral").weights + ".safetensors");
  const uint64_t same = fingerprint(config, weights);
  EXPECT_EQ(fingerprint(config + "\n", weights), same);
  std::string trained = weights;
  trained.back() = static_cast<char>(trained.back() ^ 1);
  EXPECT_NE(fingerprint(config, trained), same);
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"10000.0", "20000.0"},
                                 {"\"sliding_window\": 20", "\"sliding_window\": 24"},
                                 {"1e-05", "1e-06"}}) {
    std::string other = config;
    ASSERT_NE(other.find(from), other.npos) << from;
    other.replace(other.find(from), from.size(), to);
    EXPECT_NE(fingerprint(other, weights), same) << from;
  }
}

TEST(SavedSequences, KeepToTheContextAskedFor) {
  const auto decoder = decoder_of("mistral");
  const std::string bytes = saved(*sequence_of(decoder, 100));
  EXPECT_EQ(must(load(decoder, bytes, 100))->context(), 100);
  EXPECT_EQ(load(decoder, bytes, 99).error().code, ErrorCode::context_full);
  EXPECT_EQ(load(decoder, bytes, 161).error().code, ErrorCode::over_limit);
  EXPECT_EQ(load(decoder, bytes, -1).error().code, ErrorCode::usage);
  MemoryFiles none;
  EXPECT_EQ(Sequence::load(decoder, 0, none, "s").error().code, ErrorCode::not_found);
}

TEST(SavedSequences, AreChargedToTheMemoryBudget) {
  const auto model = load_family(family_variant("qwen3"), /*from_gguf=*/false);
  const int64_t need = pass_bytes(model->spec, kLeastPassRows, 1) + kv_bytes(model->spec, 100) +
                       held_logits_bytes(model->spec);
  const std::string bytes = saved(*sequence_of(decoder_of("qwen3"), 100));
  for (const int64_t missing : {0, 1}) {
    const auto runtime = must(Runtime::create(1, "", disk_files(), need - missing));
    const auto decoder =
        must(with_memory_budget(must(make_native_decoder(runtime, model)), runtime, model->spec));
    const auto loaded = load(decoder, bytes, 100);
    ASSERT_EQ(loaded.ok(), missing == 0);
    if (missing > 0) {
      EXPECT_EQ(loaded.error().code, ErrorCode::over_limit);
    }
    const auto second = load(decoder, bytes, 100);
    EXPECT_FALSE(second.ok()) << "nothing is left";
  }
}

}  // namespace
}  // namespace phial
