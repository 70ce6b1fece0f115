#include "engine/cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>

#include "base/checked.h"
#include "engine/cpu/executor.h"

namespace phial {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Query rows (positions x heads of a group) that meet a page together.
constexpr int64_t kTileRows = 64;
// Segments of at most this many rows have the ranges of their keys shared out among the workers.
constexpr int64_t kSharedRows = kMaxGemvRows;
// Tiles per worker from which on they are shared out evenly enough as they are.
constexpr size_t kManyTiles = 64;
// Pieces per worker, where there can be so many, and bytes of a page that a piece reads in a row:
// memory gives more the longer it is read in order.
constexpr int64_t kPiecesPerWorker = 16;
constexpr int64_t kPieceRunBytes = int64_t{64} << 10;

int64_t aligned(int64_t bytes) { return ceil_div(bytes, int64_t{64}) * 64; }

// Hands out pieces of one allocation, each aligned to 64 bytes; only counts while it has none.
class Arena {
 public:
  explicit Arena(uint8_t* memory = nullptr) : memory_(memory) {}
  template <class T>
  T* take(int64_t count) {
    uint8_t* at = memory_ == nullptr ? nullptr : memory_ + size_;
    size_ += aligned(count * static_cast<int64_t>(sizeof(T)));
    return reinterpret_cast<T*>(at);
  }
  bool only_counts() const { return memory_ == nullptr; }
  int64_t size() const { return size_; }

 private:
  uint8_t* memory_;
  int64_t size_ = 0;
};

// Memory that only grows, aligned to 64 bytes.
class Buffer {
 public:
  uint8_t* fit(int64_t bytes) {
    if (std::ssize(bytes_) < bytes + 64) bytes_.resize(static_cast<size_t>(bytes + 64));
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (64 - address % 64);
  }

 private:
  std::vector<uint8_t> bytes_;
};

Planes take_planes(Arena& arena, int64_t rows, int64_t n) {
  return {arena.take<int8_t>(2 * rows * n), arena.take<float>(rows), arena.take<int32_t>(rows)};
}
AttentionPart take_part(Arena& arena, int64_t rows, int64_t width) {
  return {arena.take<float>(rows), arena.take<float>(rows), arena.take<float>(rows * width)};
}

// Memory of one worker.
struct Scratch {
  Buffer buffer;
  float* q;  // [rows, width]
  Planes planes;
  float* scores;   // [rows, kPagePositions]
  float* factors;  // [rows]
  Planes value_planes;
  uint8_t* codes;
  AttentionPart total, range;
  float* position;  // of store()

  // For `rows` rows of all heads of a run.
  void take(Arena& arena, int64_t rows, int64_t width) {
    q = arena.take<float>(rows * width);
    planes = take_planes(arena, rows, width);
    scores = arena.take<float>(rows * kPagePositions);
    factors = arena.take<float>(rows);
    value_planes = take_planes(arena, rows, kPagePositions);
    codes = arena.take<uint8_t>(kPagePositions * width);
    total = take_part(arena, rows, width);
    range = take_part(arena, rows, width);
    position = arena.take<float>(2 * width);
  }
};

// Consecutive positions of one segment and one key/value head.
struct Tile {
  size_t segment;
  int64_t first;  // position within the segment
  int64_t positions;
  int64_t kv_head;
  int64_t ranges;
  // Of a tile whose ranges are pieces of their own, where their results go and how many are not
  // done yet; the last worker merges.
  std::vector<AttentionPart> parts;
  std::atomic<int64_t> left{0};
};

// What one worker takes at once: all ranges of some tiles (-1), or one; the tiles are of
// consecutive heads and otherwise equal.
struct Piece {
  size_t first_tile;
  int64_t tiles;
  int64_t range;
};

// Pieces that follow each other, as one, in one layer.
struct Task {
  const RowSegment* segment;
  const Tile* tile;  // the first one
  size_t first_tile;
  int64_t tiles;
  int64_t range;
  int64_t layer;
  int64_t window;
  int64_t rows;  // of each tile
  int64_t first_position;
  int64_t first_page, last_page;  // that any of its rows sees
};

AttentionPart part_from(const AttentionPart& part, int64_t row, int64_t width) {
  return {part.row_max + row, part.row_sum + row, part.out + row * width};
}

}  // namespace

struct Attention::Impl {
  const KernelTable& kernels;
  const AttentionKernels& page_kernels;
  const ModelSpec& spec;
  const int64_t group;
  std::span<const RowSegment> segments;
  const KvHead* head = nullptr;
  int64_t width = 0;
  int64_t tile_positions = 1;
  int64_t range_pages = 0;
  std::vector<Scratch> workers;
  std::deque<Tile> tiles;  // the first tile_count of them are of this pass
  size_t tile_count = 0;
  std::vector<Piece> pieces;
  Buffer parts;
  bool stand_alone = true;
  bool alike = true;

  Impl(const KernelTable& k, const ModelSpec& s, int count)
      : kernels(k),
        page_kernels(attention_kernels(k)),
        spec(s),
        group(s.attention.heads / s.attention.kv_heads),
        tile_positions(std::max<int64_t>(1, kTileRows / group)),
        workers(static_cast<size_t>(count)) {}

  int64_t most_rows() const { return tile_positions * group; }
  void make_tiles();
  void make_parts();
  void make_pieces();
  int64_t piece_tiles(const Tile& tile) const;
  Task run_from(int64_t begin, int64_t end, int64_t layer, int64_t* next) const;
  void gather(const Task& task, const float* q, Scratch& scratch) const;
  void run_range(const Task& task, int64_t range, const uint8_t* after, const AttentionPart& part,
                 Scratch& scratch) const;
  void run_whole(const Task& task, const uint8_t* after, float* out, Scratch& scratch) const;
  void run_shared(const Task& task, const uint8_t* after, float* out, Scratch& scratch);
  void finish(const Task& task, int64_t tile, const AttentionPart& total, float* out) const;
  const uint8_t* first_block(const Task& task) const;
};

Attention::Attention(const KernelTable& kernels, const ModelSpec& spec, int workers)
    : impl_(std::make_unique<Impl>(kernels, spec, workers)) {}

Attention::~Attention() = default;

void Attention::prepare(std::span<const RowSegment> segments) {
  Impl& impl = *impl_;
  impl.segments = segments;
  impl.tile_count = 0;
  impl.stand_alone = true;
  impl.alike = true;
  impl.pieces.clear();
  if (segments.empty()) return;
  impl.head = &segments.front().cache->layout().head;
  impl.width = impl.head->width;
  // float32 sums keep one order, whatever the length.
  impl.range_pages = impl.head->type == KvType::f32 ? int64_t{1} << 40 : kRangePages;
  for (Scratch& scratch : impl.workers) {
    Arena count;
    scratch.take(count, impl.most_rows(), impl.width);
    Arena arena(scratch.buffer.fit(count.size()));
    scratch.take(arena, impl.most_rows(), impl.width);
  }
  impl.make_tiles();
  impl.make_parts();
  impl.make_pieces();
}

void Attention::Impl::make_tiles() {
  for (size_t s = 0; s < segments.size(); ++s) {
    // Late positions see the most keys: handed out first, they even out the workers' ends.
    const int64_t count = segments[s].rows;
    const int64_t end = segments[s].first_position + count;
    stand_alone = stand_alone && count <= tile_positions;
    for (int64_t first = (count - 1) / tile_positions * tile_positions; first >= 0;
         first -= tile_positions) {
      for (int64_t kv_head = 0; kv_head < spec.attention.kv_heads; ++kv_head) {
        if (tile_count == tiles.size()) tiles.emplace_back();
        Tile& tile = tiles[tile_count++];
        tile.segment = s;
        tile.first = first;
        tile.positions = std::min(tile_positions, count - first);
        tile.kv_head = kv_head;
        tile.ranges = ceil_div(ceil_div(end, kPagePositions), range_pages);
        tile.parts.clear();
      }
    }
  }
}

void Attention::Impl::make_parts() {
  const auto shares = [&](const Tile& tile) {
    return tile.ranges > 1 && segments[tile.segment].rows <= kSharedRows &&
           tile_count < kManyTiles * workers.size();
  };
  const auto take = [&](Arena& arena) {
    for (size_t t = 0; t < tile_count; ++t) {
      Tile& tile = tiles[t];
      tile.parts.resize(static_cast<size_t>(shares(tile) ? tile.ranges : 0));
      const int64_t rows = tile.positions * group;
      for (size_t i = 0; i < tile.parts.size(); ++i) {
        // Those of all heads lie side by side.
        if (tile.kv_head == 0) {
          tile.parts[i] = take_part(arena, rows * spec.attention.kv_heads, width);
        } else if (!arena.only_counts()) {
          tile.parts[i] = part_from(tiles[t - 1].parts[i], rows, width);
        }
      }
    }
  };
  Arena count;
  take(count);
  const bool fits = count.size() <= kMaxAttentionPartBytes;
  Arena arena(fits ? parts.fit(count.size()) : nullptr);
  if (fits) take(arena);
  for (size_t t = 0; t < tile_count; ++t) {
    Tile& tile = tiles[t];
    if (!fits) tile.parts.clear();
    tile.left.store(std::ssize(tile.parts), std::memory_order_relaxed);
    stand_alone = stand_alone && tile.parts.empty();
  }
}

// Tiles of neighbouring heads that make one piece.
int64_t Attention::Impl::piece_tiles(const Tile& tile) const {
  const int64_t ranges = std::max<int64_t>(1, std::ssize(tile.parts));
  const int64_t even = static_cast<int64_t>(tile_count) * ranges /
                       (kPiecesPerWorker * static_cast<int64_t>(workers.size()));
  const int64_t most =
      std::min(most_rows() / (tile.positions * group), ceil_div(kPieceRunBytes, head->bytes));
  return std::clamp<int64_t>(even, 1, std::max<int64_t>(1, most));
}

// A page has the heads of a layer side by side: neighbours in memory become neighbours here.
void Attention::Impl::make_pieces() {
  for (size_t t = 0; t < tile_count; t += static_cast<size_t>(spec.attention.kv_heads)) {
    const Tile& tile = tiles[t];
    const int64_t ranges = std::ssize(tile.parts);
    alike = alike && (ranges > 0 || (segments.size() == 1 && segments[0].rows <= kSharedRows));
    const int64_t at_once = piece_tiles(tile);
    for (int64_t range = ranges > 0 ? 0 : -1; range < ranges; ++range) {
      for (int64_t h = 0; h < spec.attention.kv_heads; h += at_once) {
        pieces.push_back(
            {t + static_cast<size_t>(h), std::min(at_once, spec.attention.kv_heads - h), range});
      }
      if (range < 0) break;
    }
  }
}

void Attention::store(int worker, int64_t layer, const RowSegment& segment, int64_t row,
                      int64_t kv_head, const float* k, const float* v) {
  Impl& impl = *impl_;
  const int64_t position = segment.first_position + row - segment.first_row;
  KvStoreArgs args;
  args.head = impl.head;
  args.slot = position % kPagePositions;
  args.k = k;
  args.v = v;
  args.block = segment.cache->block(layer, kv_head, position / kPagePositions);
  args.scratch = impl.workers[static_cast<size_t>(worker)].position;
  impl.page_kernels.store[static_cast<size_t>(impl.head->type)](args);
}

int64_t Attention::pieces() const { return std::ssize(impl_->pieces); }

bool Attention::pieces_stand_alone() const { return impl_->stand_alone; }

bool Attention::pieces_are_alike() const { return impl_->alike; }

AttentionRows Attention::rows_of(int64_t index) const {
  const Piece& piece = impl_->pieces[static_cast<size_t>(index)];
  const Tile& tile = impl_->tiles[piece.first_tile];
  const RowSegment& segment = impl_->segments[tile.segment];
  return {&segment, segment.first_row + tile.first, tile.positions, tile.kv_head, piece.tiles};
}

// The longest run of pieces from `begin` on that may be computed together; `next` is the first
// piece behind it.
Task Attention::Impl::run_from(int64_t begin, int64_t end, int64_t layer, int64_t* next) const {
  const Piece& piece = pieces[static_cast<size_t>(begin)];
  const Tile& tile = tiles[piece.first_tile];
  Task task;
  task.segment = &segments[tile.segment];
  task.tile = &tile;
  task.first_tile = piece.first_tile;
  task.tiles = piece.tiles;
  task.range = piece.range;
  task.layer = layer;
  task.window = spec.layer_kinds[static_cast<size_t>(layer)].window;
  task.rows = tile.positions * group;
  task.first_position = task.segment->first_position + tile.first;
  const int64_t first_key =
      task.window > 0 ? std::max<int64_t>(0, task.first_position - task.window + 1) : 0;
  task.first_page = first_key / kPagePositions;
  task.last_page = (task.first_position + tile.positions - 1) / kPagePositions;
  int64_t at = begin + 1;
  for (; at < end; ++at) {
    const Piece& more = pieces[static_cast<size_t>(at)];
    const bool follows = more.range == piece.range &&
                         more.first_tile == task.first_tile + static_cast<size_t>(task.tiles) &&
                         tiles[more.first_tile].kv_head != 0;
    if (!follows || (task.tiles + more.tiles) * task.rows > most_rows()) break;
    task.tiles += more.tiles;
  }
  *next = at;
  return task;
}

// Query heads of one key/value head lie side by side in a row of q.
void Attention::Impl::gather(const Task& task, const float* q, Scratch& scratch) const {
  const int64_t head_dim = head->head_dim;
  const int64_t row_stride = spec.attention.heads * head_dim;
  const float* from = q + (task.segment->first_row + task.tile->first) * row_stride +
                      task.tile->kv_head * group * head_dim;
  float* to = scratch.q;
  for (int64_t tile = 0; tile < task.tiles; ++tile, from += group * head_dim) {
    for (int64_t p = 0; p < task.tile->positions; ++p) {
      for (int64_t h = 0; h < group; ++h, to += width) {
        std::memcpy(to, from + p * row_stride + h * head_dim,
                    static_cast<size_t>(head_dim) * sizeof(float));
        std::fill(to + head_dim, to + width, 0.0f);
        if (head->rotates_keys) page_kernels.rotate(head_dim, false, to);
      }
    }
  }
  if (head->scaled) {
    page_kernels.make_planes(task.tiles * task.rows, width, scratch.q, scratch.planes);
  }
}

// All pages of a range, each for all tiles in turn. `after`: the block that is read after the
// range; may be null.
void Attention::Impl::run_range(const Task& task, int64_t range, const uint8_t* after,
                                const AttentionPart& part, Scratch& scratch) const {
  const int64_t rows = task.tiles * task.rows;
  std::fill_n(part.row_max, rows, kMinusInfinity);
  std::fill_n(part.row_sum, rows, 0.0f);
  std::fill_n(part.out, rows * width, 0.0f);
  const int64_t begin = std::max(range * range_pages, task.first_page);
  const int64_t end = std::min((range + 1) * range_pages, task.last_page + 1);
  AttentionPageArgs args;
  args.head = head;
  args.rows = task.rows;
  args.group = group;
  args.window = task.window;
  args.scale = spec.attention.scale;
  args.cap = spec.attention.softcap;
  args.scores = scratch.scores;
  args.factors = scratch.factors;
  args.value_planes = scratch.value_planes;
  args.codes = scratch.codes;
  const auto block = [&](int64_t page, int64_t tile) {
    return task.segment->cache->block(task.layer, task.tile->kv_head + tile, page);
  };
  for (int64_t page = begin; page < end; ++page) {
    args.first_position = task.first_position - page * kPagePositions;
    for (int64_t tile = 0; tile < task.tiles; ++tile) {
      const AttentionPart some = part_from(part, tile * task.rows, width);
      const int64_t row = tile * task.rows;
      args.q = scratch.q + row * width;
      args.planes = {scratch.planes.codes + 2 * row * width, scratch.planes.scale + row,
                     scratch.planes.correction + row};
      args.row_max = some.row_max;
      args.row_sum = some.row_sum;
      args.out = some.out;
      args.block = block(page, tile);
      if (tile + 1 < task.tiles) {
        args.next = block(page, tile + 1);
      } else if (page + 1 < end) {
        args.next = block(page + 1, 0);
      } else {
        args.next = after != nullptr ? after : args.block;
      }
      page_kernels.page[static_cast<size_t>(head->type)](args);
    }
  }
}

void Attention::Impl::run_whole(const Task& task, const uint8_t* after, float* out,
                                Scratch& scratch) const {
  const int64_t first = task.first_page / range_pages;
  const int64_t last = task.last_page / range_pages;
  for (int64_t range = first; range <= last; ++range) {
    const AttentionPart& into = range == first ? scratch.total : scratch.range;
    const uint8_t* next = after;
    if (range < last) {
      next = task.segment->cache->block(task.layer, task.tile->kv_head, (range + 1) * range_pages);
    }
    run_range(task, range, next, into, scratch);
    if (range == first) continue;
    page_kernels.merge(task.tiles * task.rows, width, scratch.range, scratch.total);
  }
  for (int64_t tile = 0; tile < task.tiles; ++tile) {
    finish(task, tile, part_from(scratch.total, tile * task.rows, width), out);
  }
}

void Attention::Impl::run_shared(const Task& task, const uint8_t* after, float* out,
                                 Scratch& scratch) {
  const auto tile_at = [&](int64_t tile) -> Tile& {
    return tiles[task.first_tile + static_cast<size_t>(tile)];
  };
  const auto range = static_cast<size_t>(task.range);
  run_range(task, task.range, after, tile_at(0).parts[range], scratch);
  for (int64_t t = 0; t < task.tiles; ++t) {
    Tile& tile = tile_at(t);
    if (tile.left.fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
    for (size_t i = 1; i < tile.parts.size(); ++i) {
      page_kernels.merge(task.rows, width, tile.parts[i], tile.parts[0]);
    }
    finish(task, t, tile.parts[0], out);
    // For the next layer, which begins behind a barrier.
    tile.left.store(std::ssize(tile.parts), std::memory_order_relaxed);
  }
}

void Attention::Impl::finish(const Task& task, int64_t tile, const AttentionPart& total,
                             float* out) const {
  const int64_t head_dim = head->head_dim;
  const int64_t row_stride = spec.attention.heads * head_dim;
  float* to = out + (task.segment->first_row + task.tile->first) * row_stride +
              (task.tile->kv_head + tile) * group * head_dim;
  for (int64_t p = 0; p < task.tile->positions; ++p) {
    for (int64_t h = 0; h < group; ++h) {
      const int64_t r = p * group + h;
      float* row = total.out + r * width;
      kernels.scale(head_dim, 1.0f / total.row_sum[r], row);
      if (head->rotates_values) page_kernels.rotate(head_dim, true, row);
      std::memcpy(to + p * row_stride + h * head_dim, row,
                  static_cast<size_t>(head_dim) * sizeof(float));
    }
  }
}

// The first block that a run reads; null for one that reads none.
const uint8_t* Attention::Impl::first_block(const Task& task) const {
  const int64_t page = std::max(task.range * range_pages, task.first_page);
  const int64_t end = task.range < 0 ? task.last_page + 1 : (task.range + 1) * range_pages;
  if (page >= std::min(end, task.last_page + 1)) return nullptr;
  return task.segment->cache->block(task.layer, task.tile->kv_head, page);
}

void Attention::attend(int worker, int64_t layer, int64_t begin, int64_t end, const float* q,
                       float* out) {
  Impl& impl = *impl_;
  Scratch& scratch = impl.workers[static_cast<size_t>(worker)];
  for (int64_t next = begin; begin < end; begin = next) {
    const Task task = impl.run_from(begin, end, layer, &next);
    // What this worker is likely to take when it is done: if another one does, it finds it in a
    // shared cache.
    int64_t behind = next < end ? next : next + std::ssize(impl.workers) - 1;
    const uint8_t* after = nullptr;
    if (behind < pieces()) {
      after = impl.first_block(impl.run_from(behind, behind + 1, layer, &behind));
    }
    impl.gather(task, q, scratch);
    if (task.range < 0) {
      impl.run_whole(task, after, out, scratch);
    } else {
      impl.run_shared(task, after, out, scratch);
    }
  }
}

}  // namespace phial
