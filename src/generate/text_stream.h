// The text of an answer as it grows, and the stop strings that may end it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace phial {

// Text is given out once it is certain: never half a character, and nothing that may turn out to be
// the beginning of a stop string. Special tokens are left out of the text, but a stop string may
// hold their text, as in transformers' StopStringCriteria.
class TextStream {
 public:
  // `tokenizer` may be null: then there is no text. `stop_strings` are not empty.
  TextStream(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> stop_strings);

  // The tokens in front of the first one: a stop string may begin in them. Before any push().
  Status begin_behind(std::span<const int32_t> tokens);

  struct Piece {
    std::string text;      // that became certain
    bool stopped = false;  // a stop string is complete; the text ends before it
  };
  // Ids that the tokenizer lacks (padding rows of the logits) have no text.
  Result<Piece> push(int32_t id);
  // What is still held back. Empty behind a stop string.
  std::string finish();

 private:
  // Characters of special tokens and of the prompt are matched, not shown.
  void add_to_tail(const std::string& text, size_t hidden);
  // How many bytes of tail_ from `at` on are part of the answer's text.
  size_t shown_from(size_t at) const;
  // Where the first stop string begins that ends behind `old_size` bytes of tail_; npos: nowhere.
  size_t find_stop(size_t old_size) const;
  // Length of the longest end of tail_ that begins a stop string.
  size_t open_stop() const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> stop_strings_;
  size_t longest_ = 0;                    // stop string, in bytes
  std::unique_ptr<StreamDecoder> shown_;  // without special tokens; null without a tokenizer
  std::unique_ptr<StreamDecoder> all_;    // with them; null without stop strings
  std::string held_;                      // text that shown_ gave and this stream did not yet give
  std::string tail_;                      // end of what all_ gave
  std::vector<bool> tail_shown_;          // of each byte of tail_
  bool stopped_ = false;
};

}  // namespace phial
