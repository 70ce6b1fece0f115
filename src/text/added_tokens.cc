#include "text/added_tokens.h"

#include <algorithm>
#include <map>

#include "text/unicode.h"

namespace phial {

struct StringFinder::TrieNode {
  std::map<uint8_t, uint32_t> children;
  uint32_t length = 0;
  uint32_t index = 0;
};

std::vector<StringFinder::TrieNode> StringFinder::build_trie(
    std::span<const std::string_view> strings) {
  std::vector<TrieNode> trie(1);
  for (size_t i = 0; i < strings.size(); ++i) {
    uint32_t node = 0;
    for (size_t at = strings[i].size(); at-- > 0;) {
      const auto byte = static_cast<uint8_t>(strings[i][at]);
      const auto next = static_cast<uint32_t>(trie.size());
      const auto [edge, is_new] = trie[node].children.try_emplace(byte, next);
      node = edge->second;
      if (is_new) trie.emplace_back();
    }
    trie[node].length = static_cast<uint32_t>(strings[i].size());
    trie[node].index = static_cast<uint32_t>(i);
  }
  return trie;
}

StringFinder::StringFinder(std::span<const std::string_view> strings) {
  if (strings.empty()) return;
  const std::vector<TrieNode> trie = build_trie(strings);
  nodes_.reserve(trie.size());
  edges_.reserve(trie.size());
  for (const TrieNode& from : trie) {
    nodes_.push_back({.first_edge = static_cast<uint32_t>(edges_.size()),
                      .edge_count = static_cast<uint32_t>(from.children.size()),
                      .fail = 0,
                      .length = from.length,
                      .index = from.index});
    for (const auto& [byte, target] : from.children) edges_.push_back({byte, target});
  }
  for (const auto& [byte, target] : trie[0].children) root_child_[byte] = target;
  link_failures();
}

uint32_t StringFinder::child(uint32_t node, uint8_t byte) const {
  if (node == 0) return root_child_[byte];
  const Edge* begin = edges_.data() + nodes_[node].first_edge;
  const Edge* end = begin + nodes_[node].edge_count;
  const Edge* edge =
      std::lower_bound(begin, end, byte, [](const Edge& e, uint8_t b) { return e.byte < b; });
  return edge != end && edge->byte == byte ? edge->target : 0;
}

uint32_t StringFinder::step(uint32_t state, uint8_t byte) const {
  while (true) {
    if (const uint32_t next = child(state, byte); next != 0) return next;
    if (state == 0) return 0;
    state = nodes_[state].fail;
  }
}

// Breadth first: a node's failure is nearer to the root than the node.
void StringFinder::link_failures() {
  std::vector<uint32_t> queue = {0};
  for (size_t head = 0; head < queue.size(); ++head) {
    const uint32_t node = queue[head];
    for (uint32_t i = 0; i < nodes_[node].edge_count; ++i) {
      const Edge edge = edges_[nodes_[node].first_edge + i];
      Node& target = nodes_[edge.target];
      target.fail = node == 0 ? 0 : step(nodes_[node].fail, edge.byte);
      if (target.length == 0) {
        target.length = nodes_[target.fail].length;
        target.index = nodes_[target.fail].index;
      }
      queue.push_back(edge.target);
    }
  }
}

std::vector<StringFinder::Match> StringFinder::find(std::string_view text) const {
  if (empty()) return {};
  // Where strings begin, last first: small entries, as every byte of a hostile text may be one.
  struct Start {
    uint32_t at;
    uint32_t node;
  };
  std::vector<Start> starts;
  uint32_t state = 0;
  for (size_t at = text.size(); at-- > 0;) {
    state = step(state, static_cast<uint8_t>(text[at]));
    if (nodes_[state].length != 0) starts.push_back({static_cast<uint32_t>(at), state});
  }
  std::vector<Match> found;
  size_t taken_to = 0;
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->at < taken_to) continue;
    const Node& node = nodes_[start->node];
    taken_to = start->at + node.length;
    found.push_back({start->at, taken_to, node.index});
  }
  return found;
}

namespace {

// White space to the left of `at`, not before `floor`.
size_t space_begin(std::string_view text, size_t at, size_t floor) {
  while (at > floor) {
    const unicode::Char c = unicode::char_before(text, at);
    if (!c.is_space()) break;
    at -= c.length;
  }
  return std::max(at, floor);
}

size_t space_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    const unicode::Char c = unicode::char_at(text, at);
    if (!c.is_space()) break;
    at += c.length;
  }
  return at;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const bool word_before =
      begin > 0 && unicode::is_word(unicode::char_before(text, begin).code_point);
  const bool word_after =
      end < text.size() && unicode::is_word(unicode::char_at(text, end).code_point);
  return !word_before && !word_after;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::string_view> contents;
  contents.reserve(tokens_.size());
  for (const AddedToken& token : tokens_) contents.push_back(token.content);
  finder_ = StringFinder(contents);
}

// As in `tokenizers`, matches are found first and widened by lstrip and rstrip afterwards. So
// tokens of white space inside what an rstrip took still give their ids, and a match that fails
// single_word takes its text from the matches that overlap it.
std::vector<AddedTokenMatcher::Part> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  size_t known_space_end = 0;  // keeps nested rstrips linear
  for (const StringFinder::Match& match : finder_.find(text)) {
    const AddedToken& token = tokens_[match.index];
    if (token.single_word && !stands_alone(text, match.begin, match.end)) continue;
    size_t begin = match.begin;
    size_t end = match.end;
    if (token.lstrip) begin = space_begin(text, begin, done);
    if (token.rstrip) {
      if (end >= known_space_end) known_space_end = space_end(text, end);
      end = known_space_end;
    }
    begin = std::min(begin, end);
    if (done < begin) parts.push_back({-1, text.substr(done, begin - done)});
    parts.push_back({token.id, text.substr(begin, end - begin)});
    done = end;
  }
  if (done < text.size()) parts.push_back({-1, text.substr(done)});
  return parts;
}

}  // namespace phial
