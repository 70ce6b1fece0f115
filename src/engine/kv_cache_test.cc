#include "engine/kv_cache.h"

#include <gtest/gtest.h>

namespace phial {
namespace {

constexpr KvLayout kLayout = {.layers = 2, .kv_heads = 3, .head_dim = 5};

void fill(KvCache& cache, int64_t n) {
  ASSERT_TRUE(cache.reserve(n).ok());
  cache.commit(n);
}

TEST(KvCache, GrowsByPagesWithUse) {
  KvCache cache(kLayout, 1000);
  fill(cache, 1);
  KvPage* first = &cache.page(0);
  fill(cache, kPagePositions - 1);
  EXPECT_EQ(&cache.page(0), first);
  fill(cache, 1);
  EXPECT_EQ(cache.length(), kPagePositions + 1);
  EXPECT_NE(&cache.page(1), first);
}

TEST(KvCache, RefusesMoreThanItsContext) {
  KvCache cache(kLayout, 10);
  fill(cache, 7);
  const Status status = cache.reserve(4);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::context_full);
  EXPECT_TRUE(cache.reserve(3).ok());
  EXPECT_EQ(cache.length(), 7);
}

TEST(KvCache, ForkSharesUntilItWrites) {
  KvCache a(kLayout, 1000);
  fill(a, kPagePositions + 3);
  a.page(1).keys(kLayout, 1, 2)[0] = 7;
  KvCache b = a.fork(kPagePositions + 2);
  EXPECT_EQ(&a.page(0), &b.page(0));
  EXPECT_EQ(&a.page(1), &b.page(1));
  fill(b, 1);
  EXPECT_EQ(&a.page(0), &b.page(0));  // full pages stay shared
  EXPECT_NE(&a.page(1), &b.page(1));
  EXPECT_EQ(b.page(1).keys(kLayout, 1, 2)[0], 7);
  KvPage* own = &a.page(1);
  fill(a, 1);  // nobody shares it any more
  EXPECT_EQ(&a.page(1), own);
}

TEST(KvCache, ForkAtAPageBorderSharesNoPartialPage) {
  KvCache a(kLayout, 1000);
  fill(a, kPagePositions);
  KvCache b = a.fork(kPagePositions);
  fill(b, 1);
  fill(a, 1);
  EXPECT_EQ(&a.page(0), &b.page(0));
  EXPECT_NE(&a.page(1), &b.page(1));
}

TEST(KvCache, KeysAndValuesOfHeadsDoNotOverlap) {
  const auto page = KvPage::create(kLayout);
  ASSERT_TRUE(page);
  float* end = page->keys(kLayout, 0, 0);
  for (int64_t layer = 0; layer < kLayout.layers; ++layer) {
    for (int64_t head = 0; head < kLayout.kv_heads; ++head) {
      EXPECT_EQ(page->keys(kLayout, layer, head), end);
      EXPECT_EQ(page->values(kLayout, layer, head), end + kLayout.head_dim * kPagePositions);
      end += kLayout.head_floats();
    }
  }
  EXPECT_EQ(end - page->keys(kLayout, 0, 0), kLayout.page_floats());
}

}  // namespace
}  // namespace phial
