// The pieces of a vocabulary by their bytes, to find all those that a text begins with.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace phial {

// A trie whose nodes are numbered level by level, so that the children of a node lie side by side.
// Immutable; 13 bytes a node, at most one node for each byte of the pieces.
class PieceTrie {
 public:
  struct Entry {
    std::string_view piece;
    int32_t id;
  };

  PieceTrie() = default;
  // Pieces may come twice: the last id counts. REQUIRES: fewer than 2^32 bytes in all, none empty
  explicit PieceTrie(std::vector<Entry> entries);

  // A walk down the trie.
  class Walk {
   public:
    explicit Walk(const PieceTrie& trie) : trie_(trie) {}
    // False: no piece goes on like this.
    bool step(uint8_t byte) {
      node_ = trie_.child(node_, byte);
      return node_ != 0;
    }
    // Of the piece that ends here; -1: none does.
    int32_t id() const { return trie_.nodes_[node_].id; }

   private:
    const PieceTrie& trie_;
    uint32_t node_ = 0;
  };

  // Of the piece that is `text`; -1: none is.
  int32_t find(std::string_view text) const;
  size_t longest() const { return longest_; }  // bytes

 private:
  struct Node {
    uint32_t first_child = 0;
    uint16_t child_count = 0;
    int32_t id = -1;
  };
  uint32_t child(uint32_t node, uint8_t byte) const;

  std::vector<Node> nodes_ = {Node()};
  std::vector<uint8_t> labels_ = {0};  // of the edge to each node
  size_t longest_ = 0;
};

}  // namespace phial
