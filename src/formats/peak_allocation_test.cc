// What a hostile file may make the readers allocate: this program counts every byte that operator
// new hands out.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/test_files.h"

namespace {

std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> peak_bytes{0};

void* counted_allocate(size_t size, size_t alignment) {
  void* block = alignment <= alignof(std::max_align_t)
                    ? std::malloc(size)
                    : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  const auto usable = static_cast<int64_t>(malloc_usable_size(block));
  const int64_t now = live_bytes.fetch_add(usable) + usable;
  int64_t peak = peak_bytes.load();
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return block;
}

void counted_free(void* block) {
  if (block == nullptr) return;
  live_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(block)));
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return counted_allocate(size, 1); }
void* operator new[](size_t size) { return counted_allocate(size, 1); }
void* operator new(size_t size, std::align_val_t alignment) {
  return counted_allocate(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return counted_allocate(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  try {
    return counted_allocate(size, 1);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](size_t size, const std::nothrow_t& tag) noexcept {
  return operator new(size, tag);
}
void operator delete(void* block) noexcept { counted_free(block); }
void operator delete[](void* block) noexcept { counted_free(block); }
void operator delete(void* block, size_t) noexcept { counted_free(block); }
void operator delete[](void* block, size_t) noexcept { counted_free(block); }
void operator delete(void* block, std::align_val_t) noexcept { counted_free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { counted_free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { counted_free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { counted_free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { counted_free(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { counted_free(block); }

namespace phial {
namespace {

using test::GgufBuilder;
using test::SafetensorsBuilder;

constexpr size_t kFileBytes = 8 << 20;
// The promise of base/budget.h.
constexpr int64_t bound(size_t file_bytes) {
  return 16 * static_cast<int64_t>(file_bytes) + (64 << 20);
}

std::string repeated(std::string_view part, size_t count) {
  std::string out;
  out.reserve(part.size() * count);
  for (size_t i = 0; i < count; ++i) out += part;
  return out;
}

// Runs `read` and returns the most bytes that were in use above those at the start.
template <class Read>
int64_t peak_of(Read read) {
  const int64_t before = live_bytes.load();
  peak_bytes.store(before);
  (void)read().ok();
  return peak_bytes.load() - before;
}

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void expect_gguf_bounded(const std::string& file) {
  const int64_t peak = peak_of([&] { return parse_gguf(as_bytes(file), "m.gguf", false); });
  EXPECT_GT(peak, 0);
  EXPECT_LE(peak, bound(file.size())) << "for a file of " << file.size() << " bytes";
}

void expect_safetensors_bounded(const std::string& file) {
  const int64_t peak = peak_of([&] { return parse_safetensors(as_bytes(file), "m.safetensors"); });
  EXPECT_GT(peak, 0);
  EXPECT_LE(peak, bound(file.size())) << "for a file of " << file.size() << " bytes";
}

TEST(PeakAllocation, TheCounterCounts) {
  EXPECT_GE(peak_of([] { return Result<std::string>(std::string(1 << 20, 'x')); }), 1 << 20);
}

TEST(PeakAllocation, GgufArraysOfTheSmallestElements) {
  for (const uint32_t type : {test::kU8, test::kBool}) {
    GgufBuilder file;
    file.array("a", type, kFileBytes, std::string(kFileBytes, '\1'));
    expect_gguf_bounded(file.build());
  }
  GgufBuilder file;
  file.array("a", test::kString, kFileBytes / 8, std::string(kFileBytes, '\0'));
  expect_gguf_bounded(file.build());
}

TEST(PeakAllocation, GgufWithAsManyPairsAsFit) {
  GgufBuilder file;
  for (size_t i = 0; i < kFileBytes / 18; ++i) {
    file.pair(test::le(static_cast<uint32_t>(i)), test::kU8, "x");
  }
  expect_gguf_bounded(file.build());
}

TEST(PeakAllocation, GgufWithAsManyTensorsAsFit) {
  std::string file = "GGUF" + test::le<uint32_t>(3);
  constexpr uint64_t kTensors = kFileBytes / 28;
  file += test::le(kTensors) + test::le<uint64_t>(0);
  for (uint64_t i = 0; i < kTensors; ++i) {
    file += test::gguf_string(test::le(static_cast<uint32_t>(i))) + test::le<uint32_t>(0) +
            test::le<uint32_t>(test::kGgmlF32) + test::le<uint64_t>(i * 32);
  }
  expect_gguf_bounded(file);
}

TEST(PeakAllocation, GgufThatOnlyAnnouncesMuch) {
  GgufBuilder file;
  file.array("a", test::kString, uint64_t{1} << 40, "");
  const std::string bytes = file.build();
  EXPECT_LE(peak_of([&] { return parse_gguf(as_bytes(bytes), "m.gguf", false); }), 64 << 10);
}

TEST(PeakAllocation, SafetensorsHeaders) {
  std::string entries = "{";
  for (size_t i = 0; entries.size() < kFileBytes; ++i) {
    entries += "\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)";
  }
  entries.back() = '}';
  expect_safetensors_bounded(SafetensorsBuilder::raw(entries, ""));
  for (const char* item : {"0,", "[],", "{},", "\"\",", "[[]],", "{\"\":0},"}) {
    std::string items = repeated(item, kFileBytes / std::string_view(item).size());
    items.back() = ']';
    expect_safetensors_bounded(SafetensorsBuilder::raw("{\"a\":[" + items + "}", ""));
  }
}

}  // namespace
}  // namespace phial
