// Finds added tokens in text, as Hugging Face `tokenizers` does (AddedVocabulary::find_matches).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer_spec.h"

namespace phial {

// All occurrences of a set of strings, leftmost-longest and without overlap, in time linear in the
// text whatever the strings: an Aho-Corasick automaton of the reversed strings runs over the text
// from its end, so that its state at a byte tells the longest string that begins there. (Forward
// automata for leftmost-longest restart after each match and can be driven to quadratic time.)
class StringFinder {
 public:
  struct Match {
    size_t begin;
    size_t end;
    uint32_t index;  // into the strings
  };

  StringFinder() = default;
  // REQUIRES: no string is empty, none occurs twice; fewer than 2^32 bytes in all
  explicit StringFinder(std::span<const std::string_view> strings);

  bool empty() const { return nodes_.empty(); }
  // REQUIRES: fewer than 2^32 bytes
  std::vector<Match> find(std::string_view text) const;

 private:
  struct Edge {
    uint8_t byte;
    uint32_t target;
  };
  struct Node {
    uint32_t first_edge = 0;  // edges of a node are sorted by byte
    uint32_t edge_count = 0;
    uint32_t fail = 0;
    uint32_t length = 0;  // of the longest string that begins where this state stands; 0: none
    uint32_t index = 0;   // of that string
  };
  struct TrieNode;

  static std::vector<TrieNode> build_trie(std::span<const std::string_view> strings);
  void link_failures();
  uint32_t child(uint32_t node, uint8_t byte) const;  // 0: none
  uint32_t step(uint32_t state, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  uint32_t root_child_[256] = {};  // most bytes of most texts end no token: one look
};

// Cuts text at the added tokens of one set (normalized or not).
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  struct Part {
    int32_t id;             // of the added token; -1: text between tokens
    std::string_view text;  // never empty for text between tokens
  };
  // `text` cut into parts, in order; nothing for an empty text.
  std::vector<Part> split(std::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  StringFinder finder_;
};

}  // namespace phial
