#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/unicode.h"

namespace phial {
namespace {

using Part = PreTokenizer::Part;

// Appends the parts that a step cuts one part into.
class PartWriter {
 public:
  PartWriter(const Part& from, std::vector<Part>& out) : from_(from), out_(out) {}

  std::string_view text() const { return from_.text; }
  void write(size_t begin, size_t end) {
    if (begin == end) return;
    const size_t origin = from_.origin_bytes > begin ? from_.origin_bytes - begin : 0;
    out_.push_back({from_.text.substr(begin, end - begin), std::min(origin, end - begin)});
  }

 private:
  const Part& from_;
  std::vector<Part>& out_;
};

// NormalizedString::split: what a behavior makes of matches and what lies between them, which come
// from left to right and are all of the text. At most one of them is held back.
class BehaviorWriter {
 public:
  BehaviorWriter(SplitBehavior behavior, PartWriter out) : behavior_(behavior), out_(out) {}
  ~BehaviorWriter() {
    if (holds_) out_.write(begin_, end_);
  }
  BehaviorWriter(const BehaviorWriter&) = delete;
  BehaviorWriter& operator=(const BehaviorWriter&) = delete;

  void add(size_t begin, size_t end, bool is_match) {
    if (behavior_ == SplitBehavior::isolated) return out_.write(begin, end);
    if (behavior_ == SplitBehavior::removed) return is_match ? void() : out_.write(begin, end);
    const bool joins = holds_ && joins_held(is_match);
    if (joins) {
      end_ = end;
    } else {
      if (holds_) out_.write(begin_, end_);
      begin_ = begin;
      end_ = end;
      holds_ = true;
    }
    // What two parts that merged became takes nothing further to itself.
    was_match_ = is_match;
  }

 private:
  bool joins_held(bool is_match) const {
    switch (behavior_) {
      case SplitBehavior::contiguous:
        return is_match == was_match_;
      case SplitBehavior::merged_with_previous:
        return is_match && !was_match_;
      default:
        return !is_match && was_match_;
    }
  }

  const SplitBehavior behavior_;
  PartWriter out_;
  bool holds_ = false;
  bool was_match_ = false;
  size_t begin_ = 0;
  size_t end_ = 0;
};

// Every character for which `is` holds is a match.
template <class Is>
void split_at_chars(PartWriter out, SplitBehavior behavior, const Is& is) {
  const std::string_view text = out.text();
  BehaviorWriter writer(behavior, out);
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    const size_t end = at + c.length;
    if (is(c)) {
      if (done < at) writer.add(done, at, false);
      writer.add(at, end, true);
      done = end;
    }
    at = end;
  }
  if (done < text.size()) writer.add(done, text.size(), false);
}

bool is_space(const unicode::Char& c) { return c.is_space(); }
bool is_bert_punctuation(const unicode::Char& c) {
  return unicode::is_bert_punctuation(c.code_point);
}

// A WordEnd for Digits.
template <bool individual>
size_t digits_end(std::string_view text, size_t at) {
  const auto is_digit = [](const unicode::Char& c) { return unicode::is_numeric(c.code_point); };
  const unicode::Char first = unicode::char_at(text, at);
  const bool in_digits = is_digit(first);
  at += first.length;
  if (individual && in_digits) return at;
  while (at < text.size()) {
    const unicode::Char c = unicode::char_at(text, at);
    if (is_digit(c) != in_digits) break;
    at += c.length;
  }
  return at;
}

// \w+|[^\w\s]+
void split_whitespace(PartWriter out) {
  enum class Kind { space, word, other };
  const std::string_view text = out.text();
  Kind before = Kind::space;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    const Kind kind = is_space(c)                      ? Kind::space
                      : unicode::is_word(c.code_point) ? Kind::word
                                                       : Kind::other;
    if (kind != before) {
      if (before != Kind::space) out.write(begin, at);
      begin = at;
    }
    before = kind;
    at += c.length;
  }
  if (before != Kind::space) out.write(begin, text.size());
}

// Cuts where the script changes. What stands before the first character that has a script is lost,
// as it is in `tokenizers`.
void split_scripts(PartWriter out) {
  const std::string_view text = out.text();
  uint8_t script = 0;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    const uint8_t next = unicode::script(c.code_point);
    if (next != 0 && next != script) {
      if (script != 0) out.write(begin, at);
      begin = at;
      script = next;
    }
    at += c.length;
  }
  if (script != 0) out.write(begin, text.size());
}

void split_fixed(PartWriter out, size_t chars) {
  const std::string_view text = out.text();
  size_t begin = 0;
  size_t count = 0;
  for (size_t at = 0; at < text.size();) {
    at += unicode::char_at(text, at).length;
    if (++count < chars) continue;
    out.write(begin, at);
    begin = at;
    count = 0;
  }
  out.write(begin, text.size());
}

}  // namespace

// One step at work on one part.
class PreTokenizer::Run {
 public:
  Run(size_t& bytes_left, Scratch& scratch) : bytes_left_(bytes_left), scratch_(scratch) {}

  Status step(const PrefixSpace&, const Part& part) {
    if (part.text.starts_with(' ')) return keep(part);
    return replace(" " + std::string(part.text), part.origin_bytes + (part.origin_bytes > 0));
  }
  Status step(const Words& words, const Part& part) {
    PartWriter out = writer(part);
    for (size_t at = 0; at < part.text.size();) {
      const size_t end = words.end(part.text, at);
      out.write(at, end);
      at = end;
    }
    return {};
  }
  Status step(const ByteAlphabet&, const Part& part) {
    const std::string origin = byte_alphabet::encode(part.text.substr(0, part.origin_bytes));
    return replace(byte_alphabet::encode(part.text), origin.size());
  }
  Status step(const Split& split, const Part& part) {
    BehaviorWriter out(split.behavior, writer(part));
    return split.pattern.for_each_part(part.text, [&](size_t begin, size_t end, bool is_match) {
      out.add(begin, end, is_match != split.invert);
      return Status();
    });
  }
  Status step(const pre_tokenizer::Metaspace& metaspace, const Part& part);
  Status step(const pre_tokenizer::Whitespace&, const Part& part) {
    split_whitespace(writer(part));
    return {};
  }
  Status step(const pre_tokenizer::WhitespaceSplit&, const Part& part) {
    split_at_chars(writer(part), SplitBehavior::removed, is_space);
    return {};
  }
  Status step(const pre_tokenizer::Punctuation& punctuation, const Part& part) {
    split_at_chars(writer(part), punctuation.behavior, is_bert_punctuation);
    return {};
  }
  Status step(const pre_tokenizer::Digits& digits, const Part& part) {
    split_at_chars(writer(part),
                   digits.individual ? SplitBehavior::isolated : SplitBehavior::contiguous,
                   [](const unicode::Char& c) { return unicode::is_numeric(c.code_point); });
    return {};
  }
  // White space dropped and punctuation isolated, in one go.
  Status step(const pre_tokenizer::Bert&, const Part& part) {
    PartWriter out = writer(part);
    size_t begin = 0;
    for (size_t at = 0; at < part.text.size();) {
      const unicode::Char c = unicode::char_at(part.text, at);
      const size_t end = at + c.length;
      const bool punctuation = is_bert_punctuation(c);
      if (punctuation || is_space(c)) {
        out.write(begin, at);
        if (punctuation) out.write(at, end);
        begin = end;
      }
      at = end;
    }
    out.write(begin, part.text.size());
    return {};
  }
  Status step(const pre_tokenizer::CharDelimiter& split, const Part& part) {
    split_at_chars(writer(part), SplitBehavior::removed,
                   [&](const unicode::Char& c) { return c.code_point == split.delimiter; });
    return {};
  }
  Status step(const pre_tokenizer::UnicodeScripts&, const Part& part) {
    split_scripts(writer(part));
    return {};
  }
  Status step(const pre_tokenizer::FixedLength& fixed, const Part& part) {
    split_fixed(writer(part), fixed.chars);
    return {};
  }

 private:
  PartWriter writer(const Part& part) { return {part, scratch_.next}; }
  Status keep(const Part& part) {
    scratch_.next.push_back(part);
    return {};
  }
  Result<std::string_view> store(std::string text) {
    if (text.size() > bytes_left_) {
      return over_limit("text", "the pre-tokenizer makes too much of it");
    }
    bytes_left_ -= text.size();
    return std::string_view(scratch_.texts.emplace_back(std::move(text)));
  }
  Status replace(std::string text, size_t origin_bytes) {
    PHIAL_ASSIGN(const std::string_view stored, store(std::move(text)));
    return keep({stored, origin_bytes});
  }

  size_t& bytes_left_;
  Scratch& scratch_;
};

Status PreTokenizer::Run::step(const pre_tokenizer::Metaspace& metaspace, const Part& part) {
  std::string mark;
  utf8::append(mark, metaspace.replacement);
  const bool prepends = metaspace.prepend == PrependScheme::always ||
                        (metaspace.prepend == PrependScheme::first && part.origin_bytes > 0);
  std::string text;
  text.reserve(part.text.size() + part.text.size() / 2 + mark.size());
  if (prepends && !part.text.starts_with(' ') && !part.text.starts_with(mark)) text = mark;
  // The bytes from the origin grow with what is put before them and with a space they begin with.
  size_t origin = part.origin_bytes;
  if (origin > 0) {
    origin += text.size();
    const auto spaces =
        static_cast<size_t>(std::ranges::count(part.text.substr(0, part.origin_bytes), ' '));
    origin += spaces * (mark.size() - 1);
  }
  size_t done = 0;
  for (size_t at = part.text.find(' '); at != part.text.npos; at = part.text.find(' ', done)) {
    text.append(part.text, done, at - done);
    text += mark;
    done = at + 1;
  }
  text.append(part.text, done);
  if (!metaspace.split) return replace(std::move(text), origin);
  PHIAL_ASSIGN(const std::string_view stored, store(std::move(text)));
  const Part whole{stored, origin};
  PartWriter out = writer(whole);
  size_t begin = 0;
  for (size_t at = stored.find(mark, 1); at != stored.npos; at = stored.find(mark, at + 1)) {
    out.write(begin, at);
    begin = at;
  }
  out.write(begin, stored.size());
  return {};
}

Status PreTokenizer::add_split(const pre_tokenizer::Split& split) {
  if (const auto known = splitter_of_split(split)) {
    steps_.push_back(Words{word_end_function(*known)});
    return {};
  }
  PHIAL_ASSIGN(CompiledPattern pattern,
               CompiledPattern::create(split.pattern, "pre_tokenizer: Split"));
  steps_.push_back(Split{std::move(pattern), split.behavior, split.invert});
  return {};
}

Status PreTokenizer::add_step(const pre_tokenizer::Step& step, bool keeps_bytes) {
  if (const auto* split = std::get_if<pre_tokenizer::Split>(&step)) return add_split(*split);
  if (const auto* words = std::get_if<pre_tokenizer::Words>(&step)) {
    if (words->splitter != Splitter::none)
      steps_.push_back(Words{word_end_function(words->splitter)});
    return {};
  }
  if (const auto* bytes = std::get_if<pre_tokenizer::ByteLevel>(&step)) {
    if (bytes->add_prefix_space) steps_.push_back(PrefixSpace());
    if (bytes->use_regex) steps_.push_back(Words{word_end_function(Splitter::gpt2)});
    if (!keeps_bytes) steps_.push_back(ByteAlphabet());
    return {};
  }
  const auto* fixed = std::get_if<pre_tokenizer::FixedLength>(&step);
  if (fixed != nullptr && fixed->chars == 0) {
    return damaged("pre_tokenizer: FixedLength", "the length is 0");
  }
  std::visit(
      [this]<class T>(const T& plain) {
        if constexpr (std::is_constructible_v<Step, T>) steps_.push_back(plain);
      },
      step);
  return {};
}

void PreTokenizer::find_only_cuts() {
  only_cuts_after_space_ = !steps_.empty() && std::holds_alternative<PrefixSpace>(steps_[0]);
  std::vector<WordEnd> cuts;
  for (size_t i = only_cuts_after_space_ ? 1 : 0; i < steps_.size(); ++i) {
    if (const auto* words = std::get_if<Words>(&steps_[i])) {
      cuts.push_back(words->end);
    } else if (const auto* digits = std::get_if<pre_tokenizer::Digits>(&steps_[i])) {
      cuts.push_back(digits->individual ? digits_end<true> : digits_end<false>);
    } else {
      return;
    }
  }
  if (cuts.empty()) cuts.push_back(word_end_function(Splitter::none));
  only_cuts_ = std::move(cuts);
}

Result<PreTokenizer> PreTokenizer::create(const std::vector<pre_tokenizer::Step>& steps,
                                          bool keeps_bytes) {
  if (steps.size() > kMaxPipelineSteps) {
    return over_limit("pre_tokenizer", "has " + std::to_string(steps.size()) +
                                           " steps, the limit is " +
                                           std::to_string(kMaxPipelineSteps));
  }
  PreTokenizer made;
  for (const pre_tokenizer::Step& step : steps) PHIAL_TRY(made.add_step(step, keeps_bytes));
  made.find_only_cuts();
  return made;
}

Status PreTokenizer::split(std::string_view text, size_t origin_bytes, size_t& bytes_left,
                           Scratch& scratch) const {
  scratch.parts.assign(text.empty() ? 0 : 1, Part{text, origin_bytes});
  Run run(bytes_left, scratch);
  for (const Step& step : steps_) {
    scratch.next.clear();
    for (const Part& part : scratch.parts) {
      PHIAL_TRY(std::visit([&](const auto& one) { return run.step(one, part); }, step));
    }
    std::swap(scratch.parts, scratch.next);
  }
  return {};
}

}  // namespace phial
