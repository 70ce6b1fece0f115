#include "engine/kv_parts.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/checked.h"
#include "engine/numerics.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

constexpr char kWhere[] = "key/value cache";
constexpr int64_t kScaleBytes = 2;
// Flags of the head: whether LongRoPE's long set turns the keys; from bit 8 on, the KvType.
constexpr uint64_t kLongRope = 1;
constexpr int kTypeShift = 8;

int64_t positions_of_page(int64_t length, int64_t page) {
  return std::min(kPagePositions, length - page * kPagePositions);
}

// A run of bytes in a page and in a part.
struct Run {
  int64_t page;
  int64_t part;
  int64_t bytes;
};

// The rows of one page as they lie in memory and, side by side, in a part: calls `copy` for each
// run of bytes, and `copy_last(run, used)` for the last row of values, of whose innermost dimension
// the first `used` positions count.
template <class Copy, class CopyLast>
void for_each_run(const KvLayout& layout, size_t group, int64_t positions, const Copy& copy,
                  const CopyLast& copy_last) {
  const KvHead& kv = layout.head;
  int64_t part = 0;
  const auto run = [&](int64_t page, int64_t bytes) {
    const Run made{page, part, bytes};
    part += bytes;
    return made;
  };
  const int64_t scales = kv.scaled ? positions * kScaleBytes : 0;
  for (int64_t head = 0; head < layout.groups[group].layers * layout.kv_heads; ++head) {
    const int64_t block = head * kv.bytes;
    for (int64_t r = 0; r < kv.key_rows; ++r) {
      copy(run(block + r * kPagePositions * kv.key_unit, positions * kv.key_unit));
    }
    copy(run(block + kv.key_scales, scales));
    const int64_t whole = positions / kv.value_group;
    copy(run(block + kv.values, whole * kv.value_row));
    if (const int64_t used = positions % kv.value_group; used != 0) {
      copy_last(run(block + kv.values + whole * kv.value_row, kv.value_row), used);
    }
    copy(run(block + kv.value_scales, scales));
  }
}

int64_t part_bytes(const KvLayout& layout, size_t group, int64_t positions) {
  const KvHead& kv = layout.head;
  const int64_t scales = kv.scaled ? 2 * positions * kScaleBytes : 0;
  return layout.groups[group].layers * layout.kv_heads *
         (kv.key_rows * positions * kv.key_unit +
          ceil_div(positions, kv.value_group) * kv.value_row + scales);
}

std::vector<uint8_t> head_part(const KvCache& cache) {
  const KvLayout& layout = cache.layout();
  std::vector<uint8_t> out;
  append_number(out, (cache.long_rope() ? kLongRope : uint64_t{0}) |
                         static_cast<uint64_t>(layout.head.type) << kTypeShift);
  append_number(out, cache.length());
  append_number(out, layout.kv_heads);
  append_number(out, layout.head.head_dim);
  append_number(out, int64_t{std::ssize(layout.groups)});
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    append_number(out, layout.groups[g].window);
    append_number(out, layout.groups[g].layers);
    append_number(out, cache.pages(g) - cache.kept_pages(g));
  }
  return out;
}

struct Head {
  bool long_rope = false;
  int64_t length = 0;
  std::vector<int64_t> passed;  // pages of each group that were freed
};

Result<Head> read_head(const KvLayout& layout, int64_t context, std::span<const uint8_t> part) {
  ByteReader reader(part, kWhere);
  const auto matches = [&](int64_t expected, std::string_view what) -> Status {
    PHIAL_ASSIGN(const int64_t found, reader.read<int64_t>(what));
    if (found == expected) return {};
    return invalid_input(kWhere, fmt::format("expected {} for {}, found {}", expected, what, found),
                         "it was saved with another model");
  };
  Head head;
  PHIAL_ASSIGN(const uint64_t flags, reader.read<uint64_t>("the flags"));
  const uint64_t type = flags >> kTypeShift;
  if ((flags & ((1 << kTypeShift) - 1)) > kLongRope || type >= kKvTypes) {
    return reader.damage("unknown flags");
  }
  if (type != static_cast<uint64_t>(layout.head.type)) {
    return invalid_input(
        kWhere,
        fmt::format("it was saved as {}, this engine keeps {}",
                    kv_type_name(static_cast<KvType>(type)), kv_type_name(layout.head.type)),
        "open the model with the same type of key/value cache");
  }
  head.long_rope = (flags & kLongRope) != 0;
  PHIAL_ASSIGN(head.length, reader.read<int64_t>("the length"));
  if (head.length < 0) return reader.damage("a negative length");
  PHIAL_TRY(check_room(0, head.length, context));
  PHIAL_TRY(matches(layout.kv_heads, "the key/value heads"));
  PHIAL_TRY(matches(layout.head.head_dim, "the size of a head"));
  PHIAL_TRY(matches(std::ssize(layout.groups), "the number of groups"));
  for (const KvLayout::Group& group : layout.groups) {
    PHIAL_TRY(matches(group.window, "the window"));
    PHIAL_TRY(matches(group.layers, "the layers of a group"));
    PHIAL_ASSIGN(const int64_t passed, reader.read<int64_t>("the pages that were freed"));
    // The page that the next position goes to is never freed.
    const bool possible =
        passed >= 0 && (group.window == 0 ? passed == 0 : passed <= head.length / kPagePositions);
    if (!possible) return reader.damage("no such pages");
    head.passed.push_back(passed);
  }
  if (reader.remaining() != 0) return reader.damage("bytes behind the end");
  return head;
}

// Whether bytes of a type hold finite numbers. Codes are always some number.
bool all_finite(KvType type, const uint8_t* bytes, int64_t n) {
  // An infinity or NaN in a product with 0 makes the sum NaN.
  float probe = 0;
  if (type == KvType::f32) {
    for (int64_t i = 0; i < n; i += 4) probe += load_number<float>(bytes + i) * 0.0f;
  } else if (type == KvType::f16 || type == KvType::bf16) {
    // Exponents of all ones.
    const uint16_t exponent = type == KvType::f16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < n; i += 2) {
      if ((load_number<uint16_t>(bytes + i) & exponent) == exponent) return false;
    }
  }
  return probe == 0;
}

Result<std::shared_ptr<KvPage>> read_page(const KvLayout& layout, size_t group, int64_t positions,
                                          std::span<const uint8_t> part) {
  const int64_t bytes = part_bytes(layout, group, positions);
  if (std::ssize(part) != bytes) {
    return damaged(kWhere, fmt::format("expected {} bytes of {} positions, found {}", bytes,
                                       positions, part.size()));
  }
  std::shared_ptr<KvPage> page = KvPage::create(layout.page_bytes(group));
  if (!page) return out_of_memory(kWhere, "no memory for a page");
  const KvHead& kv = layout.head;
  bool finite = true;
  const auto copy = [&](const Run& run) {
    std::memcpy(page->bytes() + run.page, part.data() + run.part, static_cast<size_t>(run.bytes));
    const int64_t at = run.page % kv.bytes;
    const bool is_scale =
        kv.scaled && (at == kv.value_scales || (at >= kv.key_scales && at < kv.values));
    finite =
        finite && all_finite(is_scale ? KvType::bf16 : kv.type, part.data() + run.part, run.bytes);
  };
  for_each_run(layout, group, positions, copy, [&](const Run& run, int64_t) { copy(run); });
  if (!finite) return damaged(kWhere, "a key or value is not a finite number");
  return page;
}

}  // namespace

Status put_cache(const KvCache& cache, const PutPart& put) {
  const KvLayout& layout = cache.layout();
  PHIAL_TRY(put(head_part(cache)));
  const KvHead& kv = layout.head;
  std::vector<uint8_t> part;
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    for (int64_t p = cache.pages(g) - cache.kept_pages(g); p < cache.pages(g); ++p) {
      const int64_t positions = positions_of_page(cache.length(), p);
      part.resize(static_cast<size_t>(part_bytes(layout, g, positions)));
      const uint8_t* page = cache.page(g, p)->bytes();
      const auto copy = [&](const Run& run) {
        std::memcpy(part.data() + run.part, page + run.page, static_cast<size_t>(run.bytes));
      };
      for_each_run(layout, g, positions, copy, [&](const Run& run, int64_t used) {
        copy(run);
        // What a truncated sequence has forgotten is not for the file.
        const int64_t unit = kv.value_group == 2 ? 2 : 1;
        for (int64_t at = 0; at < run.bytes; at += kv.value_group * unit) {
          std::memset(part.data() + run.part + at + used * unit, 0,
                      static_cast<size_t>((kv.value_group - used) * unit));
        }
      });
      PHIAL_TRY(put(part));
    }
  }
  return {};
}

Result<KvCache> take_cache(std::shared_ptr<const KvLayout> layout, int64_t context,
                           const NextPart& next) {
  PHIAL_ASSIGN(const std::span<const uint8_t> first, next());
  PHIAL_ASSIGN(const Head head, read_head(*layout, context, first));
  std::vector<KvCache::Pages> groups(layout->groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].resize(static_cast<size_t>(head.passed[g]));
    for (int64_t p = head.passed[g]; p < ceil_div(head.length, kPagePositions); ++p) {
      PHIAL_ASSIGN(const std::span<const uint8_t> part, next());
      PHIAL_ASSIGN(auto page, read_page(*layout, g, positions_of_page(head.length, p), part));
      groups[g].push_back(std::move(page));
    }
  }
  KvCache cache(layout, context, head.long_rope, head.length, std::move(groups));
  if (!cache.holds(head.length)) return damaged(kWhere, "positions inside of a window are missing");
  return cache;
}

}  // namespace phial
