// Tokens that are computed ahead: the same bits as one by one, on both sides of LongRoPE's limit
// and of windows, whether they turn out right or wrong.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "engine/family_goldens.h"

namespace phial {
namespace {

class DraftsTest : public testing::TestWithParam<const char*> {};

TEST_P(DraftsTest, AreAsIfAppendedOneByOne) {
  const auto model = load_family(family_variant(GetParam()), /*from_gguf=*/false);
  const auto decoder = must(make_native_decoder(must(Runtime::create(2, "", disk_files())), model));
  Rng rng(7);
  std::vector<int32_t> ids(160);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.next() % 40);
  const auto start = [&] {
    auto sequence = must(Sequence::create(decoder, 0));
    must(sequence->append(std::span(ids).first(5)));
    must(sequence->compute_logits(LogitsRows::last, nullptr));
    must(sequence->append(std::span(ids).subspan(5, 1)));
    return sequence;
  };
  const auto plain = start();
  const auto ahead = start();
  int64_t computed_ahead = 0;
  for (size_t at = 6; at < ids.size(); ++at) {
    must(plain->compute_logits(LogitsRows::last, nullptr));
    if (ahead->computed() < ahead->length()) {
      const auto limit = static_cast<size_t>(std::max<int64_t>(0, ahead->drafts_limit()));
      std::vector<int32_t> drafts(
          ids.begin() + static_cast<ptrdiff_t>(at),
          ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), at + rng.next() % 8)));
      drafts.resize(std::min(drafts.size(), limit));
      if (!drafts.empty() && rng.next() % 2 == 0) drafts[rng.next() % drafts.size()] ^= 1;
      must(ahead->compute_logits_ahead(drafts, nullptr));
    } else {
      ++computed_ahead;
    }
    ASSERT_EQ(ahead->logits().values, plain->logits().values) << at;
    if (at % 37 == 0) {  // a copy knows nothing of drafts
      const auto copy = must(ahead->fork());
      must(copy->append(std::span(ids).subspan(at, 1)));
      must(copy->compute_logits(LogitsRows::last, nullptr));
      EXPECT_EQ(copy->length(), ahead->length() + 1);
    }
    must(plain->append(std::span(ids).subspan(at, 1)));
    must(ahead->append(std::span(ids).subspan(at, 1)));
    EXPECT_EQ(ahead->tokens(), plain->tokens());
  }
  // `dynamic` rope turns all rows of a step by its end: no drafts beyond its limit.
  EXPECT_GT(computed_ahead, std::string_view(GetParam()) == "llama-dynamic" ? 4 : 30);
}

INSTANTIATE_TEST_SUITE_P(Variants, DraftsTest,
                         testing::Values("llama3.1", "llama-dynamic", "phi3-128k", "mistral",
                                         "gemma2", "qwen3"));

TEST(Drafts, AreForgottenByRewindAndSave) {
  const auto model = load_family(family_variant("phi3-4k"), /*from_gguf=*/false);
  const auto decoder = must(make_native_decoder(must(Runtime::create(1, "", disk_files())), model));
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6};
  const auto ahead_of = [&](size_t n) {
    auto sequence = must(Sequence::create(decoder, 0));
    must(sequence->append(std::span(ids).first(n - 1)));
    must(sequence->compute_logits(LogitsRows::last, nullptr));
    must(sequence->append(std::span(ids).subspan(n - 1, 1)));
    must(sequence->compute_logits_ahead(std::span(ids).subspan(n), nullptr));
    return sequence;
  };
  const auto rewound = ahead_of(3);
  must(rewound->rewind(2));
  must(rewound->append(std::span(ids).subspan(2, 2)));
  must(rewound->compute_logits(LogitsRows::last, nullptr));
  const auto plain = must(Sequence::create(decoder, 0));
  must(plain->append(std::span(ids).first(4)));
  must(plain->compute_logits(LogitsRows::last, nullptr));
  EXPECT_EQ(rewound->logits().values, plain->logits().values);

  MemoryFiles files;
  const auto saved = ahead_of(4);
  must(saved->save(files, "s"));
  const auto loaded = must(Sequence::load(decoder, 0, files, "s"));
  EXPECT_EQ(loaded->tokens(), std::vector<int32_t>(ids.begin(), ids.begin() + 4));
}

}  // namespace
}  // namespace phial
