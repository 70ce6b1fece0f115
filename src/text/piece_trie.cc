#include "text/piece_trie.h"

#include <algorithm>
#include <cstring>

namespace phial {

PieceTrie::PieceTrie(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.piece < b.piece; });
  // The entries below a node, all of which share its first `depth` bytes.
  struct Group {
    size_t begin, end;
  };
  std::vector<Group> level = {{0, entries.size()}};
  size_t first_of_level = 0;
  for (size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Group> next;
    for (size_t i = 0; i < level.size(); ++i) {
      auto [at, end] = level[i];
      const size_t node = first_of_level + i;
      // Shorter pieces sort first.
      for (; at < end && entries[at].piece.size() == depth; ++at) {
        nodes_[node].id = entries[at].id;
        longest_ = std::max(longest_, depth);
      }
      nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
      while (at < end) {
        const char label = entries[at].piece[depth];
        const size_t begin = at;
        while (at < end && entries[at].piece[depth] == label) ++at;
        next.push_back({begin, at});
        nodes_.emplace_back();
        labels_.push_back(static_cast<uint8_t>(label));
        ++nodes_[node].child_count;
      }
    }
    first_of_level += level.size();
    level = std::move(next);
  }
}

uint32_t PieceTrie::child(uint32_t node, uint8_t byte) const {
  const Node& from = nodes_[node];
  if (from.child_count == 256) return from.first_child + byte;
  const uint8_t* labels = labels_.data() + from.first_child;
  if (from.child_count <= 1) {  // most nodes: the rest of one piece
    return from.child_count == 1 && *labels == byte ? from.first_child : 0;
  }
  const void* found = std::memchr(labels, byte, from.child_count);
  if (found == nullptr) return 0;
  return from.first_child + static_cast<uint32_t>(static_cast<const uint8_t*>(found) - labels);
}

int32_t PieceTrie::find(std::string_view text) const {
  uint32_t node = 0;
  for (const char c : text) {
    node = child(node, static_cast<uint8_t>(c));
    if (node == 0) return -1;
  }
  return nodes_[node].id;
}

}  // namespace phial
