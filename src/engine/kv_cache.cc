#include "engine/kv_cache.h"

#include <fmt/format.h>

#include <cstring>

#include "base/checked.h"

namespace phial {

std::shared_ptr<KvPage> KvPage::create(const KvLayout& layout) {
  auto page = std::make_shared<KvPage>();
  // calloc hands out zero pages of the system lazily: a page costs memory as it is filled.
  page->floats_.reset(
      static_cast<float*>(std::calloc(static_cast<size_t>(layout.page_floats()), sizeof(float))));
  return page->floats_ ? page : nullptr;
}

std::shared_ptr<KvPage> KvPage::copy(const KvLayout& layout) const {
  std::shared_ptr<KvPage> page = create(layout);
  if (page) {
    std::memcpy(page->floats_.get(), floats_.get(),
                static_cast<size_t>(layout.page_floats()) * sizeof(float));
  }
  return page;
}

Status KvCache::reserve(int64_t n) {
  if (n > context_ - length_) {
    return context_full("sequence", fmt::format("{} more tokens do not fit the context of {}, of "
                                                "which {} are taken",
                                                n, context_, length_));
  }
  const auto no_memory = [&] {
    return out_of_memory(
        "key/value cache",
        fmt::format("no memory for {} positions of {} bytes each", length_ + n,
                    layout_.page_floats() * static_cast<int64_t>(sizeof(float)) / kPagePositions),
        "use a smaller --context or a shorter prompt");
  };
  const bool writes_partial_page = n > 0 && length_ % kPagePositions != 0;
  if (writes_partial_page) {
    // The copy stays when a later step fails: it holds the same positions.
    std::shared_ptr<KvPage>& last = pages_[static_cast<size_t>(length_ / kPagePositions)];
    if (last.use_count() > 1) {
      std::shared_ptr<KvPage> own = last->copy(layout_);
      if (!own) return no_memory();
      last = std::move(own);
    }
  }
  const int64_t wanted = ceil_div(length_ + n, kPagePositions);
  while (static_cast<int64_t>(pages_.size()) < wanted) {
    std::shared_ptr<KvPage> page = KvPage::create(layout_);
    if (!page) {
      release_reserved();
      return no_memory();
    }
    pages_.push_back(std::move(page));
  }
  return {};
}

void KvCache::release_reserved() { truncate(length_); }

void KvCache::truncate(int64_t n) {
  length_ = n;
  pages_.resize(static_cast<size_t>(ceil_div(n, kPagePositions)));
}

KvCache KvCache::fork(int64_t n) const {
  KvCache copy = *this;
  copy.truncate(n);
  return copy;
}

}  // namespace phial
