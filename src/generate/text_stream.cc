#include "generate/text_stream.h"

#include <algorithm>

namespace phial {

TextStream::TextStream(std::shared_ptr<const Tokenizer> tokenizer,
                       std::vector<std::string> stop_strings)
    : tokenizer_(std::move(tokenizer)), stop_strings_(std::move(stop_strings)) {
  if (tokenizer_ == nullptr) return;
  shown_ = std::make_unique<StreamDecoder>(tokenizer_, /*skip_special_tokens=*/true);
  if (stop_strings_.empty()) return;
  all_ = std::make_unique<StreamDecoder>(tokenizer_, /*skip_special_tokens=*/false);
  for (const std::string& stop : stop_strings_) longest_ = std::max(longest_, stop.size());
}

Status TextStream::begin_behind(std::span<const int32_t> tokens) {
  if (all_ == nullptr) return {};
  // A token has at least one byte, but for the first, of which a decoder may strip a space, and a
  // piece of a character, which shows with its last one.
  constexpr size_t kMargin = 8;
  for (const int32_t id : tokens.last(std::min(tokens.size(), longest_ + kMargin))) {
    if (id < 0 || id >= tokenizer_->size()) continue;
    PHIAL_ASSIGN(const std::string text, all_->push(id));
    add_to_tail(text, text.size());
  }
  return {};
}

void TextStream::add_to_tail(const std::string& text, size_t hidden) {
  // What is further back can be no part of a stop string that is not complete yet.
  if (tail_.size() > longest_) {
    const size_t surplus = tail_.size() - longest_;
    tail_.erase(0, surplus);
    tail_shown_.erase(tail_shown_.begin(), tail_shown_.begin() + static_cast<ptrdiff_t>(surplus));
  }
  tail_ += text;
  tail_shown_.resize(tail_.size() - hidden, true);
  tail_shown_.resize(tail_.size(), false);
}

size_t TextStream::shown_from(size_t at) const {
  return static_cast<size_t>(
      std::count(tail_shown_.begin() + static_cast<ptrdiff_t>(at), tail_shown_.end(), true));
}

size_t TextStream::find_stop(size_t old_size) const {
  size_t first = std::string::npos;
  for (const std::string& stop : stop_strings_) {
    const size_t from = old_size + 1 > stop.size() ? old_size + 1 - stop.size() : 0;
    first = std::min(first, tail_.find(stop, from));
  }
  return first;
}

size_t TextStream::open_stop() const {
  size_t open = 0;
  for (const std::string& stop : stop_strings_) {
    for (size_t n = std::min(stop.size() - 1, tail_.size()); n > open; --n) {
      if (tail_.compare(tail_.size() - n, n, stop, 0, n) == 0) open = n;
    }
  }
  return open;
}

Result<TextStream::Piece> TextStream::push(int32_t id) {
  Piece piece;
  if (shown_ == nullptr || id < 0 || id >= tokenizer_->size()) return piece;
  PHIAL_ASSIGN(const std::string shown, shown_->push(id));
  held_ += shown;
  if (all_ == nullptr) {
    piece.text.swap(held_);
    return piece;
  }
  PHIAL_ASSIGN(const std::string text, all_->push(id));
  const size_t content =
      tokenizer_->is_special(id) ? tokenizer_->piece(id).value_or(std::string_view()).size() : 0;
  add_to_tail(text, std::min(content, text.size()));
  const size_t stop = find_stop(tail_.size() - text.size());
  stopped_ = piece.stopped = stop != std::string::npos;
  const size_t hold = shown_from(stopped_ ? stop : tail_.size() - open_stop());
  const size_t given = held_.size() - std::min(hold, held_.size());
  piece.text = held_.substr(0, given);
  held_.erase(0, given);
  return piece;
}

std::string TextStream::finish() {
  if (shown_ == nullptr || stopped_) return {};
  std::string rest;
  rest.swap(held_);
  return rest + shown_->finish();
}

}  // namespace phial
