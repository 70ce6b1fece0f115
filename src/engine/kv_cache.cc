#include "engine/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace phial {

std::shared_ptr<const KvLayout> KvLayout::of(const ModelSpec& spec, KvType type) {
  auto layout = std::make_shared<KvLayout>();
  layout->kv_heads = spec.attention.kv_heads;
  layout->head = KvHead::of(type, spec.attention.head_dim);
  for (const LayerKind& kind : spec.layer_kinds) {
    const auto same = [&](const Group& group) { return group.window == kind.window; };
    auto group = std::find_if(layout->groups.begin(), layout->groups.end(), same);
    if (group == layout->groups.end()) {
      group = layout->groups.insert(group, {.window = kind.window, .layers = 0});
    }
    layout->places.push_back(
        {static_cast<size_t>(group - layout->groups.begin()), group->layers++});
  }
  return layout;
}

int64_t KvLayout::position_bytes() const {
  return static_cast<int64_t>(places.size()) * kv_heads * head.bytes / kPagePositions;
}

std::shared_ptr<KvPage> KvPage::create(int64_t bytes) {
  constexpr size_t kAlignment = 64;
  // From this size on the system's large pages pay: a page is read in pieces far from each other.
  constexpr int64_t kLarge = int64_t{4} << 20;
  auto page = std::make_shared<KvPage>();
  if (bytes >= kLarge) {
    Result<PageBuffer> large = PageBuffer::create(bytes);
    if (!large.ok()) return nullptr;
    page->large_ = std::move(large).value();
    page->bytes_ = page->large_.data();
    return page;
  }
  // calloc hands out zero pages of the system lazily: a page costs memory as it is filled.
  page->memory_.reset(std::calloc(static_cast<size_t>(bytes) + kAlignment, 1));
  if (!page->memory_) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(page->memory_.get());
  page->bytes_ = static_cast<uint8_t*>(page->memory_.get()) + (kAlignment - address % kAlignment);
  return page;
}

std::shared_ptr<KvPage> KvPage::copy(int64_t bytes) const {
  std::shared_ptr<KvPage> page = create(bytes);
  if (page) std::memcpy(page->bytes_, bytes_, static_cast<size_t>(bytes));
  return page;
}

Status check_room(int64_t taken, int64_t more, int64_t context) {
  if (more <= context - taken) return {};
  return context_full("sequence", fmt::format("{} more tokens do not fit the context of {}, of "
                                              "which {} are taken",
                                              more, context, taken));
}

int64_t KvCache::kept_pages(size_t group) const {
  const auto kept = [](const std::shared_ptr<KvPage>& page) { return page != nullptr; };
  return std::count_if(groups_[group].begin(), groups_[group].end(), kept);
}

Status KvCache::no_memory(int64_t n) const {
  return out_of_memory(
      "key/value cache",
      fmt::format("no memory for {} positions of {} bytes each", n, layout_->position_bytes()),
      "use a smaller --context or a shorter prompt");
}

Status KvCache::reserve(int64_t n) {
  const int64_t begin = length_ + reserved_;
  if (Status room = check_room(begin, n, context_); !room.ok()) {
    release_reserved();
    return room;
  }
  const int64_t wanted = ceil_div(begin + n, kPagePositions);
  const bool writes_partial_page = n > 0 && begin % kPagePositions != 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Pages& pages = groups_[g];
    const int64_t bytes = layout_->page_bytes(g);
    if (writes_partial_page) {
      // The copy stays when a later step fails: it holds the same positions.
      std::shared_ptr<KvPage>& last = pages[static_cast<size_t>(begin / kPagePositions)];
      if (last.use_count() > 1) {
        std::shared_ptr<KvPage> own = last->copy(bytes);
        if (!own) {
          release_reserved();
          return no_memory(begin + n);
        }
        last = std::move(own);
      }
    }
    while (static_cast<int64_t>(pages.size()) < wanted) {
      std::shared_ptr<KvPage> page = KvPage::create(bytes);
      if (!page) {
        release_reserved();
        return no_memory(begin + n);
      }
      pages.push_back(std::move(page));
    }
  }
  reserved_ += n;
  return {};
}

void KvCache::free_passed(int64_t end, size_t from) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int64_t window = layout_->groups[g].window;
    if (window == 0) continue;
    const auto passed =
        static_cast<size_t>(std::max<int64_t>(0, (end - window - kTakenBack + 1) / kPagePositions));
    for (size_t i = from; i < passed; ++i) groups_[g][i].reset();
  }
}

void KvCache::trim_reserved() {
  free_passed(length_ + reserved_, static_cast<size_t>(ceil_div(length_, kPagePositions)));
}

void KvCache::commit(int64_t n) {
  length_ += n;
  release_reserved();
  free_passed(length_, 0);
}

void KvCache::release_reserved() {
  reserved_ = 0;
  const auto count = static_cast<size_t>(ceil_div(length_, kPagePositions));
  for (Pages& pages : groups_) pages.resize(std::min(pages.size(), count));
}

void KvCache::discard_reserved() {
  release_reserved();
  const int64_t first = length_ % kPagePositions;
  if (first == 0) return;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::shared_ptr<KvPage>& last = groups_[g].back();
    if (last == nullptr || last.use_count() > 1) continue;  // a shared page was not written to
    for (int64_t head = 0; head < layout_->groups[g].layers * layout_->kv_heads; ++head) {
      layout_->head.clear_values(last->bytes() + head * layout_->head.bytes, first);
    }
  }
}

bool KvCache::holds(int64_t n) const {
  if (n == 0) return true;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int64_t window = layout_->groups[g].window;
    if (window == 0) continue;
    const int64_t first = std::max<int64_t>(0, n - window + 1);
    // Pages are freed from the front, so the first that is needed stands for all.
    if (first < n && groups_[g][static_cast<size_t>(first / kPagePositions)] == nullptr) {
      return false;
    }
  }
  return true;
}

void KvCache::truncate(int64_t n) {
  length_ = n;
  release_reserved();
}

KvCache KvCache::fork(int64_t n) const {
  KvCache copy = *this;
  copy.truncate(n);
  return copy;
}

}  // namespace phial
