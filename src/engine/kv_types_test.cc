// Every way to keep keys and values: near float32, and bit for bit the same however a sequence came
// to be.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/family_goldens.h"
#include "engine/memory_need.h"

namespace phial {
namespace {

constexpr int64_t kContext = 1400;  // several ranges of pages

// A variant with room for long sequences.
std::shared_ptr<const Model> long_model(const std::string& name) {
  const FamilyVariant variant = family_variant(name);
  const auto disk = disk_files();
  const auto text = [&](const std::string& file) {
    return std::string(must(disk->map(kFamilyGoldens + file))->text());
  };
  std::string config = text(variant.name + ".config.json");
  const std::string key = "\"max_position_embeddings\": ";
  const size_t at = config.find(key) + key.size();
  config.replace(at, config.find_first_not_of("0123456789", at) - at, std::to_string(kContext));
  MemoryFiles files;
  files.put("model/config.json", config);
  files.put("model/model.safetensors", text(variant.weights + ".safetensors"));
  return must(
      open_model(std::make_shared<const Checkpoint>(must(read_checkpoint(files, "model")))));
}

std::shared_ptr<Decoder> decoder_of(std::shared_ptr<const Model> model, KvType kv, int threads = 1,
                                    const std::string& isa = "") {
  return must(make_native_decoder(must(Runtime::create(threads, isa, disk_files())),
                                  std::move(model), {.kv = kv}));
}

std::vector<int32_t> some_ids(int64_t count) {
  Rng rng(5);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.next() % 40);
  return ids;
}

// Logits of the last of `ids[begin, end)`, read in passes of `rows`.
std::vector<float> read_in_steps(Decoder& decoder, SequenceId id, std::span<const int32_t> ids,
                                 size_t rows) {
  Logits logits;
  for (size_t at = 0; at < ids.size(); at += rows) {
    Step step;
    step.sequence = id;
    step.tokens = ids.subspan(at, std::min(rows, ids.size() - at));
    step.logits = LogitsRows::last;
    must(decoder.forward({&step, 1}, logits, nullptr));
  }
  return logits.values;
}

class KvTypes : public testing::TestWithParam<KvType> {};
INSTANTIATE_TEST_SUITE_P(Types, KvTypes,
                         testing::Values(KvType::f32, KvType::f16, KvType::bf16, KvType::int8,
                                         KvType::int4),
                         [](const auto& type) { return std::string(kv_type_name(type.param)); });

TEST_P(KvTypes, PassesOfUpToEightRowsGiveTheSameBits) {
  for (const char* variant : {"llama3.1", "gemma2", "qwen2-window"}) {
    const auto decoder = decoder_of(load_family(family_variant(variant), false), GetParam());
    const std::vector<int32_t> ids = some_ids(140);
    const auto read = [&](size_t rows) {
      return read_in_steps(*decoder, must(decoder->open(160)), ids, rows);
    };
    const std::vector<float> want = read(1);
    for (const size_t rows : {2, 3, 7, 8}) EXPECT_EQ(read(rows), want) << variant << " " << rows;
  }
}

// Ranges of keys that workers share among them, or one worker takes all, in one row or many.
TEST_P(KvTypes, NeitherWorkersNorRowsChangeABitOfLongSequences) {
  const std::vector<int32_t> ids = some_ids(kContext);
  const auto begin = std::span(ids).first(kContext - 9), rest = std::span(ids).last(9);
  for (const char* variant : {"llama3.1", "gemma2"}) {
    const auto model = long_model(variant);
    for (const KernelTable* table : kernel_tables()) {
      if (!is_supported(*table) || table == kernel_tables().front()) continue;
      std::vector<float> want;
      for (const auto& [threads, rows] : {std::pair<int, size_t>{1, 1}, {1, 8}, {2, 1}, {2, 8}}) {
        const auto decoder = decoder_of(model, GetParam(), threads, table->isa);
        const SequenceId id = must(decoder->open(kContext));
        read_in_steps(*decoder, id, begin, begin.size());
        const std::vector<float> got = read_in_steps(*decoder, id, rest, rows);
        if (want.empty()) want = got;
        EXPECT_EQ(got, want) << variant << " " << table->isa << " " << threads << " " << rows;
      }
    }
  }
}

TEST_P(KvTypes, ForksAndTruncationsAreTheirTokens) {
  const auto decoder = decoder_of(load_family(family_variant("llama3.1"), false), GetParam());
  const std::vector<int32_t> ids = some_ids(150);
  const auto from = [&](size_t begin, size_t end) {
    return std::span(ids).subspan(begin, end - begin);
  };
  const std::vector<float> want =
      read_in_steps(*decoder, must(decoder->open(160)), from(0, 150), 8);
  const SequenceId a = must(decoder->open(160));
  read_in_steps(*decoder, a, from(0, 70), 8);
  read_in_steps(*decoder, a, from(10, 60), 8);  // something else behind them
  const SequenceId b = must(decoder->fork(a, 66));
  read_in_steps(*decoder, b, from(0, 3), 8);  // in a page of its own
  must(decoder->truncate(a, 65));
  EXPECT_EQ(read_in_steps(*decoder, a, from(65, 150), 8), want);
  must(decoder->truncate(b, 66));
  EXPECT_EQ(read_in_steps(*decoder, b, from(66, 150), 8), want);
}

// What a type rounds each key and value by at most, of the largest of its head; with the scale's
// own rounding to bfloat16.
double step_of(KvType type) {
  switch (type) {
    case KvType::f32:
      return 0;
    case KvType::f16:
      return 0x1p-11;
    case KvType::bf16:
      return 0x1p-8;
    case KvType::int8:
      return 0.5 / 127 + 0x1p-8;
    case KvType::int4:
      return 1.0 / 15 + 0x1p-8;
  }
  return 0;
}

TEST_P(KvTypes, LogitsAreNearThoseOfFloat32) {
  for (const char* variant : {"llama3.1", "gemma2", "phi3-128k", "qwen3", "mistral"}) {
    const auto model = load_family(family_variant(variant), false);
    const std::vector<int32_t> ids = some_ids(100);
    const auto logits_of = [&](KvType kv) {
      const auto decoder = decoder_of(model, kv);
      return read_in_steps(*decoder, must(decoder->open(160)), ids, 100);
    };
    const std::vector<float> want = logits_of(KvType::f32), got = logits_of(GetParam());
    const auto [low, high] = std::ranges::minmax(want);
    double squares = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      squares += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
    }
    const double rms = std::sqrt(squares / static_cast<double>(want.size()));
    // Keys and values of each layer add errors that are spread evenly over such a step and know
    // nothing of each other.
    const double steps =
        step_of(GetParam()) * std::sqrt(2.0 * static_cast<double>(model->spec.layers) / 3.0);
    EXPECT_LE(rms, steps * (static_cast<double>(high) - static_cast<double>(low))) << variant;
    EXPECT_EQ(rms > 0, GetParam() != KvType::f32) << variant;
  }
}

TEST(KvTypesMemory, SmallerTypesTakeLess) {
  ModelSpec spec;
  spec.layers = 32;
  spec.attention.kv_heads = 32;
  spec.attention.head_dim = 96;
  const int64_t heads = int64_t{32} * 32, context = 4096;
  EXPECT_EQ(kv_bytes(spec, context), heads * context * 96 * 8);
  EXPECT_EQ(kv_bytes(spec, context, KvType::f16), heads * context * 96 * 4);
  EXPECT_EQ(kv_bytes(spec, context, KvType::bf16), heads * context * 96 * 4);
  EXPECT_EQ(kv_bytes(spec, context, KvType::int8), heads * context * (96 * 2 + 4));
  EXPECT_EQ(kv_bytes(spec, context, KvType::int4), heads * context * (96 + 4));
}

}  // namespace
}  // namespace phial
