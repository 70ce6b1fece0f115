#include "text/normalizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/normal_forms.h"
#include "text/unicode.h"

namespace phial {
namespace {

// CJK ideographs, as BERT lists their blocks (without those for Japanese and Korean alone).
bool is_bert_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_nmt_dropped(char32_t c) {
  return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
         c == 0x9F;
}

bool is_nmt_space(char32_t c) {
  return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == 0xFFFD;
}

}  // namespace

// One apply() at work.
class Normalizer::Run {
 public:
  Run(std::string_view text, size_t max_bytes) : max_bytes_(max_bytes) {
    now_.text = text;
    if (!text.empty()) now_.origin_bytes = utf8::decode(text).length;
  }

  NormalText take() { return std::move(now_); }

  Status step(const normalizer::Unicode& unicode) {
    return whole([&](std::string_view text, std::string& out) {
      return append_normal_form(text, unicode.form, out);
    });
  }
  Status step(const normalizer::Lowercase&) { return each_char(unicode::append_lowercase); }
  Status step(const normalizer::StripAccents&) {
    return each_char([](std::string& out, char32_t c) {
      if (!unicode::is_combining_mark(c)) utf8::append(out, c);
    });
  }
  Status step(const normalizer::Strip& strip);
  Status step(const Replace& replace);
  Status step(const normalizer::Prepend& prepend);
  Status step(const normalizer::ByteLevel&) {
    return whole([](std::string_view text, std::string& out) {
      out = byte_alphabet::encode(text);
      return Status();
    });
  }
  Status step(const Charsmap& map) {
    return whole(
        [&](std::string_view text, std::string& out) { return map.apply(text, max_bytes_, out); });
  }
  Status step(const normalizer::Bert& bert);
  Status step(const normalizer::Nmt&) {
    return each_char([](std::string& out, char32_t c) {
      if (!is_nmt_dropped(c)) utf8::append(out, is_nmt_space(c) ? U' ' : c);
    });
  }

  Status check_size() const {
    if (now_.text.size() <= max_bytes_) return {};
    return over_limit(
        "text", "normalization makes more than " + std::to_string(max_bytes_) + " bytes of it");
  }

 private:
  // The step make(text, out) on all of the text. What it makes of the first character is measured
  // by itself.
  template <class Make>
  Status whole(const Make& make) {
    NormalText next;
    if (now_.origin_bytes > 0) {
      PHIAL_TRY(make(std::string_view(now_.text).substr(0, now_.origin_bytes), next.text));
      next.origin_bytes = next.text.size();
      next.text.clear();
    }
    PHIAL_TRY(make(now_.text, next.text));
    next.origin_bytes = std::min(next.origin_bytes, next.text.size());
    now_ = std::move(next);
    return {};
  }

  // The step append(out, character).
  template <class Append>
  Status each_char(const Append& append) {
    NormalText next;
    next.text.reserve(now_.text.size());
    for (size_t at = 0; at < now_.text.size();) {
      const utf8::Decoded c = utf8::decode(std::string_view(now_.text).substr(at));
      append(next.text, c.code_point);
      at += c.length;
      if (at <= now_.origin_bytes) next.origin_bytes = next.text.size();
    }
    now_ = std::move(next);
    return {};
  }

  NormalText now_;
  size_t max_bytes_;
};

Status Normalizer::Run::step(const normalizer::Strip& strip) {
  const std::string_view text = now_.text;
  size_t begin = 0;
  size_t end = text.size();
  while (strip.left && begin < end) {
    const unicode::Char c = unicode::char_at(text, begin);
    if (!c.is_space()) break;
    begin += c.length;
  }
  while (strip.right && begin < end) {
    const unicode::Char c = unicode::char_before(text, end);
    if (!c.is_space()) break;
    end -= c.length;
  }
  const size_t origin = now_.origin_bytes > begin ? now_.origin_bytes - begin : 0;
  now_ = {std::string(text.substr(begin, end - begin)), std::min(origin, end - begin)};
  return {};
}

// A replacement is aligned with the last byte of what it replaces.
Status Normalizer::Run::step(const Replace& replace) {
  NormalText next;
  bool from_origin = true;
  PHIAL_TRY(replace.pattern.for_each_part(
      now_.text, [&](size_t begin, size_t end, bool is_match) -> Status {
        const size_t before = next.text.size();
        size_t origin = before;
        if (is_match) {
          next.text += replace.content;
          if (end == 0 || end - 1 < now_.origin_bytes) origin = next.text.size();
        } else {
          next.text.append(now_.text, begin, end - begin);
          origin =
              before + (now_.origin_bytes > begin ? std::min(now_.origin_bytes, end) - begin : 0);
        }
        if (from_origin && now_.origin_bytes > 0) next.origin_bytes = origin;
        from_origin = from_origin && origin == next.text.size();
        if (next.text.size() > max_bytes_) {
          return over_limit(
              "text", "replacements make more than " + std::to_string(max_bytes_) + " bytes of it");
        }
        return {};
      }));
  now_ = std::move(next);
  return {};
}

Status Normalizer::Run::step(const normalizer::Prepend& prepend) {
  if (now_.text.empty()) return {};
  now_.text.insert(0, prepend.text);
  if (now_.origin_bytes > 0) now_.origin_bytes += prepend.text.size();
  return {};
}

Status Normalizer::Run::step(const normalizer::Bert& bert) {
  if (bert.clean_text) {
    PHIAL_TRY(each_char([](std::string& out, char32_t c) {
      if (c == '\t' || c == '\n' || c == '\r') {
        out += ' ';
      } else if (!unicode::is_bert_dropped(c)) {
        utf8::append(out, unicode::is_space(c) ? U' ' : c);
      }
    }));
  }
  if (bert.handle_chinese_chars) {
    PHIAL_TRY(each_char([](std::string& out, char32_t c) {
      const bool apart = is_bert_ideograph(c);
      if (apart) out += ' ';
      utf8::append(out, c);
      if (apart) out += ' ';
    }));
  }
  if (bert.strip_accents) {
    PHIAL_TRY(step(normalizer::Unicode{normalizer::Unicode::Form::nfd}));
    PHIAL_TRY(each_char([](std::string& out, char32_t c) {
      if (!unicode::is_nonspacing_mark(c)) utf8::append(out, c);
    }));
  }
  return bert.lowercase ? step(normalizer::Lowercase()) : Status();
}

Result<Normalizer> Normalizer::create(const std::vector<normalizer::Step>& steps) {
  if (steps.size() > kMaxPipelineSteps) {
    return over_limit("normalizer", "has " + std::to_string(steps.size()) +
                                        " steps, the limit is " +
                                        std::to_string(kMaxPipelineSteps));
  }
  Normalizer made;
  for (const normalizer::Step& step : steps) {
    if (const auto* replace = std::get_if<normalizer::Replace>(&step)) {
      PHIAL_ASSIGN(CompiledPattern pattern,
                   CompiledPattern::create(replace->pattern, "normalizer: Replace"));
      made.steps_.push_back(Replace{std::move(pattern), replace->content});
    } else if (const auto* precompiled = std::get_if<normalizer::Precompiled>(&step)) {
      PHIAL_ASSIGN(Charsmap map,
                   Charsmap::create(precompiled->charsmap, "normalizer: Precompiled"));
      made.steps_.push_back(std::move(map));
    } else {
      std::visit(
          [&made]<class T>(const T& plain) {
            if constexpr (std::is_constructible_v<Step, T>) made.steps_.push_back(plain);
          },
          step);
    }
  }
  return made;
}

Result<NormalText> Normalizer::apply(std::string_view text, size_t& bytes_left) const {
  Run run(text, bytes_left);
  for (const Step& step : steps_) {
    PHIAL_TRY(std::visit([&](const auto& one) { return run.step(one); }, step));
    PHIAL_TRY(run.check_size());
  }
  NormalText made = run.take();
  bytes_left -= made.text.size();
  return made;
}

}  // namespace phial
