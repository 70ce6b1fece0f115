#include "text/token_decoder.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/byte_pieces.h"
#include "text/normalizer.h"

namespace phial {
namespace {

// Rust's str::replace: an empty `from` is found around every character.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) {
    for (size_t at = 0; at < text.size();) {
      const size_t length = utf8::decode(text.substr(at)).length;
      out += to;
      out += text.substr(at, length);
      at += length;
    }
    return out += to;
  }
  size_t done = 0;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, done)) {
    out += text.substr(done, at - done);
    out += to;
    done = at + from.size();
  }
  return out += text.substr(done);
}

// decoders::wordpiece::cleanup
std::string clean_up(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  if (text.find(' ') == text.npos) return text;
  for (const auto& [from, to] : kReplacements) text = replace_all(text, from, to);
  return text;
}

}  // namespace

using Stream = TokenDecoder::Stream;

// A stage takes pieces in fragments of whole characters; `ends` tells the last of a piece. It gives
// pieces to the next stage in the same way.
class Stream::Stage {
 public:
  virtual ~Stage() = default;
  virtual Status feed(std::string_view text, bool ends) = 0;
  // No further piece comes: gives on what is held back and forgets the row.
  virtual Status finish() { return {}; }

  // What a stage gives in one call may not exceed `bytes_left`.
  void set_next(Stage* next, size_t* bytes_left) {
    next_ = next;
    bytes_left_ = bytes_left;
  }

 protected:
  Status give(std::string_view text, bool ends) {
    PHIAL_TRY(check_size(text));
    return next_->feed(text, ends);
  }
  Status check_size(std::string_view text) const {
    if (text.size() <= *bytes_left_) return {};
    return over_limit("ids", "the decoder's replacements make too much text of them");
  }

 private:
  Stage* next_ = nullptr;
  size_t* bytes_left_ = nullptr;
};

class Stream::End : public Stage {
 public:
  explicit End(size_t& bytes_left) : bytes_left_(bytes_left) {}
  Status feed(std::string_view text, bool) override {
    bytes_left_ -= text.size();
    out.append(text);
    return {};
  }
  std::string out;

 private:
  size_t& bytes_left_;
};

// Without a decoder pieces are put together with spaces.
class Stream::Join : public Stage {
 public:
  Status feed(std::string_view text, bool ends) override {
    if (begins_ && !first_) PHIAL_TRY(give(" ", true));
    first_ = false;
    begins_ = ends;
    return give(text, ends);
  }
  Status finish() override {
    first_ = begins_ = true;
    return {};
  }

 private:
  bool first_ = true;
  bool begins_ = true;
};

// A stage that looks at whole pieces.
class Stream::Buffered : public Stage {
 public:
  Status feed(std::string_view text, bool ends) final {
    if (ends && piece_.empty()) return feed_piece(text);
    piece_ += text;
    if (!ends) return {};
    const std::string piece = std::move(piece_);
    piece_.clear();
    return feed_piece(piece);
  }

 protected:
  virtual Status feed_piece(std::string_view piece) = 0;

 private:
  std::string piece_;
};

// All pieces become one. A piece that holds any character outside the alphabet stands for itself.
class Stream::ByteLevel : public Buffered {
 public:
  Status feed_piece(std::string_view piece) override {
    if (const auto bytes = byte_alphabet::decode(piece)) {
      bytes_ += *bytes;
    } else {
      bytes_ += piece;
    }
    const size_t certain = bytes_.size() - utf8::incomplete_suffix(bytes_);
    const std::string text = utf8::lossy(std::string_view(bytes_).substr(0, certain));
    bytes_.erase(0, certain);
    return give(text, false);
  }
  Status finish() override {
    const std::string text = utf8::lossy(bytes_);
    bytes_.clear();
    return give(text, true);
  }

 private:
  std::string bytes_;  // of a character that is not complete
};

class Stream::WordPiece : public Buffered {
 public:
  explicit WordPiece(const decoder::WordPiece& step) : step_(step) {}
  Status feed_piece(std::string_view piece) override {
    std::string text(piece);
    if (!first_) {
      if (piece.starts_with(step_.prefix)) {
        text.erase(0, step_.prefix.size());
      } else {
        text.insert(0, 1, ' ');
      }
    }
    first_ = false;
    return give(step_.cleanup ? clean_up(std::move(text)) : text, true);
  }
  Status finish() override {
    first_ = true;
    return {};
  }

 private:
  const decoder::WordPiece& step_;
  bool first_ = true;
};

class Stream::Metaspace : public Stage {
 public:
  explicit Metaspace(const decoder::Metaspace& step) : step_(step) {
    utf8::append(mark_, step.replacement);
  }
  Status feed(std::string_view text, bool ends) override {
    const bool drops = first_ && step_.prepend != PrependScheme::never;
    first_ = first_ && !ends;
    return give(replace_all(text, mark_, drops ? "" : " "), ends);
  }
  Status finish() override {
    first_ = true;
    return {};
  }

 private:
  const decoder::Metaspace& step_;
  std::string mark_;
  bool first_ = true;
};

// A run of bytes is text when all of it is UTF-8, else every byte of it is U+FFFD. So it is held
// back until it ends.
class Stream::ByteFallback : public Buffered {
 public:
  Status feed_piece(std::string_view piece) override {
    if (const std::optional<uint8_t> byte = byte_of_piece(piece)) {
      bytes_ += static_cast<char>(*byte);
      return {};
    }
    PHIAL_TRY(give_bytes());
    return give(piece, true);
  }
  Status finish() override { return give_bytes(); }

 private:
  Status give_bytes() {
    if (bytes_.empty()) return {};
    const std::string bytes = std::move(bytes_);
    bytes_.clear();
    if (!utf8::find_invalid(bytes)) return give(bytes, true);
    for (size_t i = 0; i < bytes.size(); ++i) PHIAL_TRY(give("\uFFFD", true));
    return {};
  }

  std::string bytes_;
};

class Stream::Fuse : public Stage {
 public:
  Status feed(std::string_view text, bool) override { return give(text, false); }
  Status finish() override { return give({}, true); }
};

class Stream::Strip : public Stage {
 public:
  explicit Strip(const decoder::Strip& step) : step_(step) { utf8::append(content_, step.content); }
  Status feed(std::string_view text, bool ends) override {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const std::string_view c = text.substr(at, utf8::decode(text.substr(at)).length);
      at += c.size();
      const bool is_content = c == content_;
      if (is_content && dropped_ < step_.start) {
        ++dropped_;
      } else if (is_content && held_ < step_.stop) {
        ++held_;
        dropped_ = step_.start;
      } else {
        if (!is_content) {
          for (; held_ > 0; --held_) out += content_;
        }
        out += c;
        dropped_ = step_.start;
      }
    }
    if (ends) dropped_ = held_ = 0;
    return give(out, ends);
  }

 private:
  const decoder::Strip& step_;
  std::string content_;
  size_t dropped_ = 0;  // from the start of the piece; step_.start: no more
  size_t held_ = 0;     // contents that end the piece so far
};

class Stream::Replace : public Stage {
 public:
  explicit Replace(const TokenDecoder::Replace& step) : step_(step) {}

  Status feed(std::string_view text, bool ends) override {
    held_ += text;
    std::string out;
    size_t done = held_.size();
    if (const auto literal = step_.pattern.literal()) {
      PHIAL_ASSIGN(done, replace(ends ? 0 : literal->size() - 1, *literal, out));
    } else if (ends) {
      PHIAL_TRY(step_.pattern.for_each_part(held_, [&](size_t begin, size_t end, bool is_match) {
        out += is_match ? std::string_view(step_.content)
                        : std::string_view(held_).substr(begin, end - begin);
        return check_size(out);
      }));
    } else {
      done = 0;
    }
    held_.erase(0, done);
    return give(out, ends);
  }

 private:
  // Appends what is certain of held_ when at most `keep` of its last bytes may begin a match. The
  // number of bytes it is certain of.
  Result<size_t> replace(size_t keep, std::string_view literal, std::string& out) const {
    const std::string_view text = held_;
    size_t done = 0;
    for (size_t at = text.find(literal); at != text.npos; at = text.find(literal, done)) {
      out += text.substr(done, at - done);
      out += step_.content;
      done = at + literal.size();
      PHIAL_TRY(check_size(out));
    }
    keep = std::min(keep, text.size() - done);
    while (keep > 0 && !literal.starts_with(text.substr(text.size() - keep))) --keep;
    out += text.substr(done, text.size() - keep - done);
    return text.size() - keep;
  }

  const TokenDecoder::Replace& step_;
  std::string held_;
};

// Whether a piece is the last shows with the next one only: one that has the suffix is held back.
class Stream::Bpe : public Buffered {
 public:
  explicit Bpe(const decoder::Bpe& step) : step_(step) {}
  Status feed_piece(std::string_view piece) override {
    PHIAL_TRY(give_held(" "));
    if (piece.find(step_.suffix) == piece.npos) return give(piece, true);
    held_ = piece;
    return {};
  }
  Status finish() override { return give_held(""); }

 private:
  Status give_held(std::string_view replacement) {
    if (!held_) return {};
    const std::string text = replace_all(*held_, step_.suffix, replacement);
    held_.reset();
    return give(text, true);
  }

  const decoder::Bpe& step_;
  std::optional<std::string> held_;
};

class Stream::Ctc : public Buffered {
 public:
  explicit Ctc(const decoder::Ctc& step) : step_(step) {}
  Status feed_piece(std::string_view piece) override {
    if (previous_ == piece) return {};
    previous_ = piece;
    std::string text = replace_all(piece, step_.pad_token, "");
    if (step_.cleanup)
      text = replace_all(clean_up(std::move(text)), step_.word_delimiter_token, " ");
    return text.empty() ? Status() : give(text, true);
  }
  Status finish() override {
    previous_.reset();
    return {};
  }

 private:
  const decoder::Ctc& step_;
  std::optional<std::string> previous_;
};

Stream::Stream(const TokenDecoder& decoder)
    : decoder_(&decoder), bytes_left_(std::make_unique<size_t>(kMaxNormalExtraBytes)) {
  const auto add = [this](auto stage) { stages_.push_back(std::move(stage)); };
  if (decoder_->steps_.empty()) add(std::make_unique<Join>());
  struct Maker {
    const decltype(add)& add_stage;
    void operator()(const decoder::ByteLevel&) { add_stage(std::make_unique<ByteLevel>()); }
    void operator()(const decoder::WordPiece& s) { add_stage(std::make_unique<WordPiece>(s)); }
    void operator()(const decoder::Metaspace& s) { add_stage(std::make_unique<Metaspace>(s)); }
    void operator()(const decoder::ByteFallback&) { add_stage(std::make_unique<ByteFallback>()); }
    void operator()(const decoder::Fuse&) { add_stage(std::make_unique<Fuse>()); }
    void operator()(const decoder::Strip& s) { add_stage(std::make_unique<Strip>(s)); }
    void operator()(const TokenDecoder::Replace& s) { add_stage(std::make_unique<Replace>(s)); }
    void operator()(const decoder::Bpe& s) { add_stage(std::make_unique<Bpe>(s)); }
    void operator()(const decoder::Ctc& s) { add_stage(std::make_unique<Ctc>(s)); }
  };
  for (const Step& step : decoder_->steps_) std::visit(Maker{add}, step);
  add(std::make_unique<End>(*bytes_left_));
  for (size_t i = 0; i + 1 < stages_.size(); ++i) {
    stages_[i]->set_next(stages_[i + 1].get(), bytes_left_.get());
  }
}

Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;

Status Stream::push(std::string_view piece, std::string& out) {
  *bytes_left_ += kMaxNormalGrowth * piece.size();
  PHIAL_TRY(stages_.front()->feed(piece, true));
  std::string& made = static_cast<End&>(*stages_.back()).out;
  out += made;
  made.clear();
  return {};
}

Status Stream::finish(std::string& out) {
  Status status;
  for (const auto& stage : stages_) {
    if (status.ok()) status = stage->finish();
  }
  std::string& made = static_cast<End&>(*stages_.back()).out;
  out += made;
  made.clear();
  *bytes_left_ = kMaxNormalExtraBytes;
  return status;
}

Result<TokenDecoder> TokenDecoder::create(const std::vector<decoder::Step>& steps) {
  if (steps.size() > kMaxPipelineSteps) {
    return over_limit("decoder", "has " + std::to_string(steps.size()) + " steps, the limit is " +
                                     std::to_string(kMaxPipelineSteps));
  }
  TokenDecoder made;
  for (const decoder::Step& step : steps) {
    if (const auto* replace = std::get_if<decoder::Replace>(&step)) {
      PHIAL_ASSIGN(CompiledPattern pattern,
                   CompiledPattern::create(replace->pattern, "decoder: Replace"));
      made.steps_.push_back(Replace{std::move(pattern), replace->content});
      continue;
    }
    std::visit(
        [&made]<class T>(const T& plain) {
          if constexpr (!std::is_same_v<T, decoder::Replace>) made.steps_.push_back(plain);
        },
        step);
  }
  return made;
}

}  // namespace phial
