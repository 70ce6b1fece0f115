// The clean_up_tokenization of transformers: ten replacements, one after the other, that drop
// spaces before punctuation and English endings. On a stream, so that decoding token by token and
// decoding at once are the same code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phial {

class SpaceCleaner {
 public:
  SpaceCleaner();

  // The text that is certain with `text`, whatever follows. Never ends inside a character if no
  // `text` does.
  std::string push(std::string_view text);
  // What is held back. The next push() begins a new text.
  std::string finish();

 private:
  // Replaces `from` by `to`, leftmost first, without looking at what it wrote.
  struct Replacement {
    std::string_view from;
    std::string_view to;
    std::string held;  // ends in a beginning of `from`

    std::string push(std::string_view text, bool last);
  };

  std::string run(std::string_view text, bool last);

  std::vector<Replacement> replacements_;
};

}  // namespace phial
