// Keys and values of a sequence in pages of 64 positions. Pages are shared by forked sequences and
// copied when one of them is about to write into a shared page.
//
// Layers that see equally far form a group with pages of its own: behind a sliding window, pages
// that no later position will look at are freed, while layers that see everything keep theirs.
//
// A page holds, for every layer of its group and key/value head in turn, a block of keys and values
// (kernels/kv_head.h). Slots beyond a sequence's length hold zeros or forgotten finite values.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/kv_head.h"
#include "model/model_spec.h"
#include "sys/memory.h"

namespace phial {

// Positions at the end of a sequence that may be computed again without reading what a window has
// left behind: the last one for its logits, drafted ones that turned out wrong.
inline constexpr int64_t kTakenBack = 8;

struct KvLayout {
  // Layers with one window.
  struct Group {
    int64_t window = 0;  // as LayerKind::window
    int64_t layers = 0;
  };
  // Where a layer's keys and values are: the group, and the place among the layers of its pages.
  struct Place {
    size_t group = 0;
    int64_t layer = 0;
  };

  int64_t kv_heads = 0;
  KvHead head;  // what a page holds of each of them
  std::vector<Group> groups;
  std::vector<Place> places;  // [layers of the model]

  static std::shared_ptr<const KvLayout> of(const ModelSpec& spec, KvType type = KvType::f32);

  int64_t page_bytes(size_t group) const { return groups[group].layers * kv_heads * head.bytes; }
  // Of all groups together.
  int64_t position_bytes() const;
};

class KvPage {
 public:
  // Zeroed memory; null when there is none.
  static std::shared_ptr<KvPage> create(int64_t bytes);
  std::shared_ptr<KvPage> copy(int64_t bytes) const;

  // Aligned to 64 bytes.
  uint8_t* bytes() { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  PageBuffer large_;          // instead of memory_
  uint8_t* bytes_ = nullptr;  // in one of them
};

// context_full unless `more` positions fit a context of which `taken` are taken.
Status check_room(int64_t taken, int64_t more, int64_t context);

// The cache of one sequence: its length, pages and set of rope frequencies, nothing else. Not
// thread safe by itself.
class KvCache {
 public:
  // Of one group, by absolute number; null where freed.
  using Pages = std::vector<std::shared_ptr<KvPage>>;

  // `long_rope`: which LongRoPE set the keys are turned by; all of them by the same.
  KvCache(std::shared_ptr<const KvLayout> layout, int64_t context, bool long_rope = false)
      : layout_(std::move(layout)),
        context_(context),
        long_rope_(long_rope),
        groups_(layout_->groups.size()) {}
  // One that holds `length` positions in `groups`, the pages of each group of the layout.
  // REQUIRES: length <= context; ceil_div(length, kPagePositions) pages of each group, null only
  // the first ones of groups with a window
  KvCache(std::shared_ptr<const KvLayout> layout, int64_t context, bool long_rope, int64_t length,
          std::vector<Pages> groups)
      : layout_(std::move(layout)),
        context_(context),
        long_rope_(long_rope),
        length_(length),
        groups_(std::move(groups)) {}

  const KvLayout& layout() const { return *layout_; }
  int64_t length() const { return length_; }
  int64_t context() const { return context_; }
  bool long_rope() const { return long_rope_; }

  // Of the positions [64 page, 64 page + 64), which a window must not have left behind.
  uint8_t* block(int64_t layer, int64_t head, int64_t page) const {
    const KvLayout::Place place = layout_->places[static_cast<size_t>(layer)];
    return groups_[place.group][static_cast<size_t>(page)]->bytes() +
           (place.layer * layout_->kv_heads + head) * layout_->head.bytes;
  }
  // The page of a group; null when it was freed behind the group's window.
  KvPage* page(size_t group, int64_t index) const {
    return groups_[group][static_cast<size_t>(index)].get();
  }
  // Pages that a group has filled so far, and those of them that are in memory.
  int64_t pages(size_t group) const { return std::ssize(groups_[group]); }
  int64_t kept_pages(size_t group) const;

  // Makes room for `n` more positions behind those that are reserved already, in pages that no
  // other sequence shares. context_full, out_of_memory; then nothing is reserved any more.
  Status reserve(int64_t n);
  // Frees reserved pages that no position behind the reserved ones will look at. What the sequence
  // holds without the reservation stays.
  void trim_reserved();
  // Takes the first `n` reserved positions into the sequence, gives the others back, and frees what
  // the windows have left behind: of a group with a window w, pages wholly before the last
  // w + kTakenBack - 1 positions.
  void commit(int64_t n);
  // Gives back what was reserved and not committed.
  void release_reserved();
  // The same after a pass that failed: what it has stored may be no numbers.
  void discard_reserved();

  // Whether, cut to `n` positions, everything is there that a position n would look at.
  bool holds(int64_t n) const;
  // Forgets the positions from `n` on. REQUIRES: 0 <= n <= length(), holds(n).
  void truncate(int64_t n);
  // A cache that shares the first `n` positions. REQUIRES: as truncate.
  KvCache fork(int64_t n) const;

 private:
  Status no_memory(int64_t n) const;
  // Frees pages [from, ...) of windowed groups that lie wholly before the window + kTakenBack - 1
  // positions in front of `end`.
  void free_passed(int64_t end, size_t from);

  std::shared_ptr<const KvLayout> layout_;
  int64_t context_;
  bool long_rope_;
  int64_t length_ = 0;
  int64_t reserved_ = 0;  // positions behind length_
  std::vector<Pages> groups_;
};

}  // namespace phial
