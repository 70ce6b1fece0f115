#include "eval/memory_watch.h"

#include <gtest/gtest.h>

#include <cstring>

#include "sys/memory.h"

namespace phial {
namespace {

TEST(MemoryWatch, SeesWhatIsTakenAndLeavesOutWhatItIsTold) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  MemoryWatch all(0);
  MemoryWatch rest(kBytes);
  const int64_t before = all.peak_anonymous_bytes();
  auto pages = PageBuffer::create(kBytes);
  ASSERT_TRUE(pages.ok());
  std::memset(pages->data(), 1, kBytes);
  const int64_t peak = all.peak_anonymous_bytes();
  EXPECT_GE(peak, before + kBytes * 9 / 10);
  EXPECT_LE(rest.peak_anonymous_bytes(), peak - kBytes * 9 / 10);
}

}  // namespace
}  // namespace phial
