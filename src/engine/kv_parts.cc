#include "engine/kv_parts.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/checked.h"

namespace phial {
namespace {

constexpr char kWhere[] = "key/value cache";
constexpr uint64_t kLongRope = 1;

int64_t positions_of_page(int64_t length, int64_t page) {
  return std::min(kPagePositions, length - page * kPagePositions);
}

// The rows of one page as they lie in memory and, side by side, in a part: calls
// `copy(floats of the page, floats of the part, count)` for each run.
template <class Copy>
void for_each_run(const KvLayout& layout, size_t group, int64_t positions, const Copy& copy) {
  int64_t at = 0;
  for (int64_t head = 0; head < layout.groups[group].layers * layout.kv_heads; ++head) {
    const int64_t keys = head * layout.head_floats();
    for (int64_t d = 0; d < layout.head_dim; ++d, at += positions) {
      copy(keys + d * kPagePositions, at, positions);
    }
    const int64_t values = keys + layout.head_dim * kPagePositions;
    copy(values, at, positions * layout.head_dim);
    at += positions * layout.head_dim;
  }
}

int64_t part_floats(const KvLayout& layout, size_t group, int64_t positions) {
  return layout.page_floats(group) / kPagePositions * positions;
}

std::vector<uint8_t> head_part(const KvCache& cache) {
  const KvLayout& layout = cache.layout();
  std::vector<uint8_t> out;
  append_number(out, cache.long_rope() ? kLongRope : uint64_t{0});
  append_number(out, cache.length());
  append_number(out, layout.kv_heads);
  append_number(out, layout.head_dim);
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
  if (flags > kLongRope) return reader.damage("unknown flags");
  head.long_rope = flags == kLongRope;
  PHIAL_ASSIGN(head.length, reader.read<int64_t>("the length"));
  if (head.length < 0) return reader.damage("a negative length");
  PHIAL_TRY(check_room(0, head.length, context));
  PHIAL_TRY(matches(layout.kv_heads, "the key/value heads"));
  PHIAL_TRY(matches(layout.head_dim, "the size of a head"));
  PHIAL_TRY(matches(std::ssize(layout.groups), "the number of groups"));
  for (const KvLayout::Group& group : layout.groups) {
    PHIAL_TRY(matches(group.window, "the window"));
    PHIAL_TRY(matches(group.layers, "the layers of a group"));
    PHIAL_ASSIGN(const int64_t passed, reader.read<int64_t>("the pages that were freed"));
    const bool possible =
        passed >= 0 &&
        (group.window == 0 ? passed == 0 : passed <= ceil_div(head.length, kPagePositions));
    if (!possible) return reader.damage("no such pages");
    head.passed.push_back(passed);
  }
  if (reader.remaining() != 0) return reader.damage("bytes behind the end");
  return head;
}

bool all_finite(const float* values, int64_t n) {
  // An infinity or NaN in a product with 0 makes the sum NaN.
  float probe = 0;
  for (int64_t i = 0; i < n; ++i) probe += values[i] * 0.0f;
  return probe == 0;
}

Result<std::shared_ptr<KvPage>> read_page(const KvLayout& layout, size_t group, int64_t positions,
                                          std::span<const uint8_t> part) {
  const int64_t bytes = part_floats(layout, group, positions) * int64_t{sizeof(float)};
  if (std::ssize(part) != bytes) {
    return damaged(kWhere, fmt::format("expected {} bytes of {} positions, found {}", bytes,
                                       positions, part.size()));
  }
  std::shared_ptr<KvPage> page = KvPage::create(layout.page_floats(group));
  if (!page) return out_of_memory(kWhere, "no memory for a page");
  bool finite = true;
  for_each_run(layout, group, positions, [&](int64_t at, int64_t from, int64_t n) {
    float* to = page->floats() + at;
    std::memcpy(to, part.data() + from * int64_t{sizeof(float)},
                static_cast<size_t>(n) * sizeof(float));
    finite = finite && all_finite(to, n);
  });
  if (!finite) return damaged(kWhere, "a key or value is not a finite number");
  return page;
}

}  // namespace

Status put_cache(const KvCache& cache, const PutPart& put) {
  const KvLayout& layout = cache.layout();
  PHIAL_TRY(put(head_part(cache)));
  std::vector<float> part;
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    for (int64_t p = cache.pages(g) - cache.kept_pages(g); p < cache.pages(g); ++p) {
      const int64_t positions = positions_of_page(cache.length(), p);
      part.resize(static_cast<size_t>(part_floats(layout, g, positions)));
      const float* page = cache.page(g, p)->floats();
      for_each_run(layout, g, positions, [&](int64_t from, int64_t at, int64_t n) {
        std::memcpy(part.data() + at, page + from, static_cast<size_t>(n) * sizeof(float));
      });
      PHIAL_TRY(put({reinterpret_cast<const uint8_t*>(part.data()), part.size() * sizeof(float)}));
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
