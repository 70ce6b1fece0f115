#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace phial {
namespace {

// Two layers of 3 heads of 5; `windows` of the layers.
std::shared_ptr<const KvLayout> layout_of(std::initializer_list<int64_t> windows) {
  ModelSpec spec;
  spec.attention.kv_heads = 3;
  spec.attention.head_dim = 5;
  for (const int64_t window : windows) spec.layer_kinds.push_back({.window = window});
  return KvLayout::of(spec);
}

const std::shared_ptr<const KvLayout> kLayout = layout_of({0, 0});

void fill(KvCache& cache, int64_t n) {
  ASSERT_TRUE(cache.reserve(n).ok());
  cache.commit(n);
}

TEST(KvCache, GrowsByPagesWithUse) {
  KvCache cache(kLayout, 1000);
  fill(cache, 1);
  KvPage* first = cache.page(0, 0);
  fill(cache, kPagePositions - 1);
  EXPECT_EQ(cache.page(0, 0), first);
  fill(cache, 1);
  EXPECT_EQ(cache.length(), kPagePositions + 1);
  EXPECT_NE(cache.page(0, 1), first);
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
  a.block(1, 2, 1)[0] = 7;
  KvCache b = a.fork(kPagePositions + 2);
  EXPECT_EQ(a.page(0, 0), b.page(0, 0));
  EXPECT_EQ(a.page(0, 1), b.page(0, 1));
  fill(b, 1);
  EXPECT_EQ(a.page(0, 0), b.page(0, 0));  // full pages stay shared
  EXPECT_NE(a.page(0, 1), b.page(0, 1));
  EXPECT_EQ(b.block(1, 2, 1)[0], 7);
  KvPage* own = a.page(0, 1);
  fill(a, 1);  // nobody shares it any more
  EXPECT_EQ(a.page(0, 1), own);
}

TEST(KvCache, ForkAtAPageBorderSharesNoPartialPage) {
  KvCache a(kLayout, 1000);
  fill(a, kPagePositions);
  KvCache b = a.fork(kPagePositions);
  fill(b, 1);
  fill(a, 1);
  EXPECT_EQ(a.page(0, 0), b.page(0, 0));
  EXPECT_NE(a.page(0, 1), b.page(0, 1));
}

TEST(KvCache, BlocksOfHeadsDoNotOverlap) {
  KvCache cache(kLayout, 1000);
  fill(cache, 1);
  uint8_t* end = cache.block(0, 0, 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(end) % 64, 0u);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t head = 0; head < kLayout->kv_heads; ++head) {
      EXPECT_EQ(cache.block(layer, head, 0), end);
      end += kLayout->head.bytes;
    }
  }
  EXPECT_EQ(end - cache.block(0, 0, 0), kLayout->page_bytes(0));
}

TEST(KvCache, LayersWithOneWindowShareAGroup) {
  const auto layout = layout_of({32, 0, 32});
  ASSERT_EQ(layout->groups.size(), 2u);
  EXPECT_EQ(layout->groups[0].layers, 2);
  EXPECT_EQ(layout->groups[1].layers, 1);
  KvCache cache(layout, 1000);
  fill(cache, 1);
  EXPECT_EQ(cache.block(2, 0, 0) - cache.block(0, 0, 0), 3 * layout->head.bytes);
  EXPECT_EQ(cache.block(1, 0, 0), cache.page(1, 0)->bytes());
}

// However long the sequence, only the pages that a window reaches stay, and layers that see
// everything keep theirs.
TEST(KvCache, FreesWhatTheWindowLeavesBehind) {
  constexpr int64_t kWindow = 100;
  KvCache cache(layout_of({0, kWindow}), 100000);
  for (int64_t length = 1; length <= 1000; ++length) {
    fill(cache, 1);
    EXPECT_EQ(cache.kept_pages(0), (length + kPagePositions - 1) / kPagePositions);
    const int64_t first = std::max<int64_t>(0, length - kWindow - kTakenBack + 1);  // oldest kept
    EXPECT_EQ(cache.kept_pages(1),
              (length + kPagePositions - 1) / kPagePositions - first / kPagePositions);
  }
}

TEST(KvCache, LongReservationsAreTrimmed) {
  constexpr int64_t kWindow = 64;
  KvCache cache(layout_of({kWindow, kWindow}), 100000);
  fill(cache, 200);
  const int64_t kept = cache.kept_pages(0);
  for (int pass = 0; pass < 20; ++pass) {
    ASSERT_TRUE(cache.reserve(256).ok());
    EXPECT_LE(cache.kept_pages(0), kept + 256 / kPagePositions + 3);
    cache.trim_reserved();
  }
  KvCache failed = cache;
  failed.release_reserved();  // what was there before is there still
  EXPECT_EQ(failed.length(), 200);
  EXPECT_EQ(failed.kept_pages(0), kept);
  EXPECT_TRUE(failed.holds(200));
  cache.commit(20 * 256);
  EXPECT_LE(cache.kept_pages(0), 3);
}

TEST(KvCache, HoldsOnlyWhatTheWindowNeeds) {
  constexpr int64_t kWindow = 10;
  KvCache cache(layout_of({kWindow}), 1000);
  fill(cache, 3 * kPagePositions);
  EXPECT_TRUE(cache.holds(3 * kPagePositions));
  EXPECT_TRUE(cache.holds(3 * kPagePositions - 1));
  // Position 137 looks at 128 and later.
  EXPECT_TRUE(cache.holds(2 * kPagePositions + kWindow - 1));
  EXPECT_FALSE(cache.holds(2 * kPagePositions + kWindow - 2));
  EXPECT_TRUE(cache.holds(0));
}

}  // namespace
}  // namespace phial
