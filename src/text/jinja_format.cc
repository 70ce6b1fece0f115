#include "text/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

std::string_view first_characters(std::string_view text, size_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) at += utf8::decode(text.substr(at)).length;
  return text.substr(0, at);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A run of digits as a number, at most kMost.
size_t read_number(std::string_view text, size_t& at) {
  constexpr size_t kMost = size_t{1} << 40;
  size_t number = 0;
  while (at < text.size() && is_digit(text[at])) {
    number = std::min(kMost, number * 10 + static_cast<size_t>(text[at++] - '0'));
  }
  return number;
}

// How one value is laid out; the union of both mini languages.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '='
  char sign = '-';    // '+', ' ', '-'
  bool alternate = false;
  size_t width = 0;
  char grouping = '\0';  // ',' or '_'
  int precision = -1;
  char type = '\0';
};

std::string in_base(uint64_t magnitude, unsigned base, bool upper) {
  const char* digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do {
    out += digits[magnitude % base];
    magnitude /= base;
  } while (magnitude != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string group_digits(std::string_view digits, char separator, size_t every) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

// Sign, prefix and digits, padded.
Status write_number(Runtime& rt, Builder& out, const Spec& spec, bool negative,
                    std::string_view prefix, std::string body) {
  std::string head = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  head += prefix;
  const size_t size = head.size() + count_characters(body);
  const size_t pad = spec.width > size ? spec.width - size : 0;
  PHIAL_TRY(rt.check_string_size(pad));
  PHIAL_TRY(rt.step_for_characters(pad));
  const char align = spec.align == '\0' ? '>' : spec.align;
  const size_t before = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
  const auto add_fill = [&](size_t n) -> Status {
    if (spec.fill.size() == 1) return out.add(n, spec.fill[0]);
    for (; n > 0; --n) PHIAL_TRY(out.add(spec.fill));
    return {};
  };
  if (align == '=') {
    PHIAL_TRY(out.add(head));
    PHIAL_TRY(add_fill(pad));
    return out.add(body);
  }
  PHIAL_TRY(add_fill(before));
  PHIAL_TRY(out.add(head));
  PHIAL_TRY(out.add(body));
  return add_fill(pad - before);
}

Status write_text(Runtime& rt, Builder& out, Spec spec, std::string_view text) {
  if (spec.precision >= 0) text = first_characters(text, static_cast<size_t>(spec.precision));
  if (spec.align == '\0') spec.align = '<';
  spec.sign = '-';
  return write_number(rt, out, spec, false, "", std::string(text));
}

Status write_integer(Runtime& rt, Builder& out, const Spec& spec, int64_t value) {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const char type = spec.type;
  const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  std::string digits = in_base(magnitude, base, type == 'X');
  if (spec.precision > static_cast<int>(digits.size())) {
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  }
  if (spec.grouping != '\0') digits = group_digits(digits, spec.grouping, base == 10 ? 3 : 4);
  const std::string prefix = spec.alternate && base != 10 ? std::string("0") + type : "";
  return write_number(rt, out, spec, value < 0, prefix, std::move(digits));
}

Status write_real(Runtime& rt, Builder& out, const Spec& spec, double value) {
  const bool negative = std::signbit(value) && !std::isnan(value);
  std::string body;
  if (!std::isfinite(value)) {
    body = std::isnan(value) ? "nan" : "inf";
    if (spec.type >= 'A' && spec.type <= 'Z') body = std::isnan(value) ? "NAN" : "INF";
  } else if (spec.type == '\0' && spec.precision < 0) {
    body = python_repr(std::fabs(value));
  } else if (spec.type == '%') {
    body = format_real(std::fabs(value) * 100, 'f', spec.precision < 0 ? 6 : spec.precision, false);
  } else {
    const char type = spec.type == '\0' || spec.type == 'n' ? 'g' : spec.type;
    body = format_real(std::fabs(value), type, spec.precision < 0 ? 6 : spec.precision,
                       spec.alternate);
  }
  if (spec.grouping != '\0') {
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    body = group_digits(body.substr(0, whole), spec.grouping, 3) + body.substr(whole);
  }
  if (spec.type == '%') body += '%';
  return write_number(rt, out, spec, negative, "", std::move(body));
}

class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, const Value& format, const Value& values)
      : rt_(rt), format_(format.text()), escape_(format.is_markup()), values_(values), out_(rt) {}

  Result<Value> run() {
    PHIAL_TRY(rt_.step_for_characters(format_.size()));
    size_t at = 0;
    while (true) {
      const size_t percent = std::min(format_.find('%', at), format_.size());
      PHIAL_TRY(out_.add(format_.substr(at, percent - at)));
      if (percent == format_.size()) break;
      at = percent + 1;
      PHIAL_TRY(rt_.step());
      PHIAL_TRY(directive(at));
    }
    const bool leftover = values_.is_tuple() ? next_ < values_.if_list()->items.size()
                                             : next_ == 0 && values_.if_dict() == nullptr &&
                                                   values_.if_list() == nullptr;
    if (leftover) return rt_.raise("not all arguments converted during string formatting");
    return rt_.string(out_.take(), escape_);
  }

 private:
  char peek(size_t at) const { return at < format_.size() ? format_[at] : '\0'; }

  Result<Value> next_value() {
    if (values_.is_tuple()) {
      const auto& items = values_.if_list()->items;
      if (next_ < items.size()) return items[next_++];
    } else if (next_ == 0) {
      ++next_;
      return values_;
    }
    return rt_.raise("not enough arguments for format string");
  }

  Result<int64_t> number_or_star(size_t& at) {
    if (peek(at) != '*') return static_cast<int64_t>(read_number(format_, at));
    ++at;
    PHIAL_ASSIGN(const Value value, next_value());
    return to_integer(rt_, value, "* of a format");
  }

  Status directive(size_t& at) {
    Spec spec;
    Value value;
    if (peek(at) == '(') PHIAL_TRY(mapped(at, value));
    bool left = false;
    bool zero = false;
    for (;; ++at) {
      const char flag = peek(at);
      if (flag == '-')
        left = true;
      else if (flag == '0')
        zero = true;
      else if (flag == '#')
        spec.alternate = true;
      else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
        spec.sign = flag;
      else if (flag != ' ')
        break;
    }
    PHIAL_ASSIGN(int64_t width, number_or_star(at));
    left = left || width < 0;
    spec.width =
        static_cast<size_t>(std::abs(std::max(width, -std::numeric_limits<int64_t>::max())));
    if (peek(at) == '.') {
      ++at;
      PHIAL_ASSIGN(const int64_t precision, number_or_star(at));
      spec.precision = static_cast<int>(std::clamp<int64_t>(precision, 0, 1 << 30));
    }
    while (peek(at) == 'l' || peek(at) == 'h' || peek(at) == 'L') ++at;
    spec.type = peek(at);
    if (spec.type == '\0') return rt_.raise("incomplete format");
    ++at;
    if (spec.type == '%') return out_.add("%");
    if (value.missing()) {
      PHIAL_ASSIGN(value, next_value());
    }
    spec.align = left ? '<' : '>';
    return convert(spec, zero && !left, value);
  }

  // "%(key)s"
  Status mapped(size_t& at, Value& value) {
    if (values_.if_dict() == nullptr) return rt_.raise("format requires a mapping");
    int open = 0;
    const size_t from = at + 1;
    for (; at < format_.size(); ++at) {
      if (format_[at] == '(') ++open;
      if (format_[at] == ')' && --open == 0) break;
    }
    if (at == format_.size()) return rt_.raise("incomplete format key");
    const Value* found = values_.if_dict()->find(format_.substr(from, at - from));
    if (found == nullptr) return rt_.raise("KeyError in a format");
    value = *found;
    ++at;
    return {};
  }

  Status convert(Spec spec, bool zero, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        Builder text(rt_);
        PHIAL_TRY(spec.type == 's' ? write_str(rt_, text, value) : write_repr(rt_, text, value));
        if (!escape_ || (spec.type == 's' && value.is_markup())) {
          return write_text(rt_, out_, spec, text.text());
        }
        PHIAL_ASSIGN(const std::string escaped, escape_html(rt_, text.text()));
        return write_text(rt_, out_, spec, escaped);
      }
      case 'c':
        return convert_character(spec, value);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return convert_integer(spec, zero, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return convert_real(spec, zero, value);
      default:
        return rt_.raise(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  Status convert_character(const Spec& spec, const Value& value) {
    std::string text;
    if (const auto code = value.integral()) {
      if (*code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
        return rt_.raise("%c arg not in range(0x110000)");
      }
      utf8::append(text, static_cast<char32_t>(*code));
    } else if (value.is_string() && value.if_string()->length == 1) {
      text = value.text();
    } else {
      return rt_.raise("%c requires int or char");
    }
    return write_text(rt_, out_, spec, text);
  }

  Status convert_integer(Spec spec, bool zero, const Value& value) {
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    std::optional<int64_t> number = value.integral();
    if (const double* real = value.if_real(); real != nullptr && decimal) {
      if (!std::isfinite(*real)) return rt_.raise("cannot convert float to integer");
      if (std::fabs(*real) >= 9.2e18) return rt_.over("an integer does not fit 64 bits");
      number = static_cast<int64_t>(*real);
    }
    if (!number) {
      return rt_.raise(std::string("%") + spec.type + " format: a number is required, not " +
                       std::string(value.type_name()));
    }
    PHIAL_TRY(rt_.check_string_size(static_cast<uint64_t>(std::max(spec.precision, 0))));
    if (zero) set_zero_fill(spec);
    return write_integer(rt_, out_, spec, *number);
  }

  Status convert_real(Spec spec, bool zero, const Value& value) {
    const auto number = value.number();
    if (!number) return rt_.raise("must be real number, not " + std::string(value.type_name()));
    if (spec.precision > kMaxPrecision) return rt_.over("precision of a format is too large");
    if (zero) set_zero_fill(spec);
    return write_real(rt_, out_, spec, *number);
  }

  static void set_zero_fill(Spec& spec) {
    spec.fill = "0";
    spec.align = '=';
  }

  Runtime& rt_;
  std::string_view format_;
  bool escape_;
  const Value& values_;
  Builder out_;
  size_t next_ = 0;
};

// "[[fill]align][sign][z][#][0][width][grouping][.precision][type]"
Status parse_spec(Runtime& rt, std::string_view text, Spec& spec) {
  size_t at = 0;
  const auto peek = [&](size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t fill = text.empty() ? 0 : utf8::decode(text).length;
  if (fill > 0 && is_align(peek(fill))) {
    spec.fill = text.substr(0, fill);
    spec.align = peek(fill);
    at = fill + 1;
  } else if (is_align(peek(0))) {
    spec.align = peek(0);
    at = 1;
  }
  if (peek(at) == '+' || peek(at) == '-' || peek(at) == ' ') spec.sign = text[at++];
  if (peek(at) == '#') {
    spec.alternate = true;
    ++at;
  }
  if (peek(at) == '0') {
    ++at;
    if (spec.align == '\0') {
      spec.align = '=';
      spec.fill = "0";
    }
  }
  spec.width = read_number(text, at);
  if (peek(at) == ',' || peek(at) == '_') spec.grouping = text[at++];
  if (peek(at) == '.') {
    ++at;
    if (!is_digit(peek(at))) return rt.raise("Format specifier missing precision");
    spec.precision = static_cast<int>(std::min<size_t>(read_number(text, at), 1 << 30));
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return rt.raise("Invalid format specifier");
  return {};
}

// format(value, spec)
Status format_value(Runtime& rt, Builder& out, const Value& value, std::string_view text) {
  if (text.empty()) return write_str(rt, out, value);
  Spec spec;
  PHIAL_TRY(parse_spec(rt, text, spec));
  const auto unknown = [&] {
    return rt.raise(std::string("Unknown format code '") + spec.type + "' for object of type '" +
                    std::string(value.type_name()) + "'");
  };
  constexpr std::string_view kRealTypes = "eEfFgG%";
  const bool real_type = spec.type != '\0' && kRealTypes.find(spec.type) != std::string_view::npos;
  if (value.is_string()) {
    if (spec.type != '\0' && spec.type != 's') return unknown();
    if (spec.align == '=') {
      return rt.raise("'=' alignment not allowed in string format specifier");
    }
    return write_text(rt, out, spec, value.text());
  }
  if (value.is_number() && (real_type || value.if_real() != nullptr)) {
    if (!real_type && spec.type != '\0' && spec.type != 'n') return unknown();
    if (spec.precision > kMaxPrecision) return rt.over("precision of a format is too large");
    return write_real(rt, out, spec, *value.number());
  }
  if (value.is_integral()) {
    constexpr std::string_view kIntegerTypes = "bdoxXn";
    if (spec.type != '\0' && kIntegerTypes.find(spec.type) == std::string_view::npos) {
      return unknown();
    }
    if (spec.precision >= 0) return rt.raise("Precision not allowed in integer format specifier");
    return write_integer(rt, out, spec, *value.integral());
  }
  return rt.raise("unsupported format string passed to " + std::string(value.type_name()));
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, const CallArgs& args) : rt_(rt), args_(args) {}

  Status run(Builder& out, std::string_view format, int nesting) {
    PHIAL_TRY(rt_.step_for_characters(format.size()));
    size_t at = 0;
    while (at < format.size()) {
      const size_t brace = std::min(format.find_first_of("{}", at), format.size());
      PHIAL_TRY(out.add(format.substr(at, brace - at)));
      if (brace == format.size()) break;
      const char c = format[brace];
      at = brace + 1;
      if (at < format.size() && format[at] == c) {
        PHIAL_TRY(out.add(1, c));
        ++at;
      } else if (c == '}') {
        return rt_.raise("Single '}' encountered in format string");
      } else {
        PHIAL_TRY(field(out, format, at, nesting));
      }
    }
    return {};
  }

 private:
  // A replacement field; `at` stands behind its brace and moves behind the closing one.
  Status field(Builder& out, std::string_view format, size_t& at, int nesting) {
    PHIAL_TRY(rt_.step());
    if (nesting > 1) return rt_.raise("Max string recursion exceeded");
    const size_t from = at;
    int open = 1;
    for (; at < format.size() && open > 0; ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}') --open;
    }
    if (open > 0) return rt_.raise("expected '}' before end of string");
    std::string_view body = format.substr(from, at - 1 - from);
    // The name ends at "!" or ":" outside of square brackets.
    size_t end = 0;
    for (bool inside = false; end < body.size(); ++end) {
      if (body[end] == '[') inside = true;
      if (body[end] == ']') inside = false;
      if (!inside && (body[end] == '!' || body[end] == ':')) break;
    }
    PHIAL_ASSIGN(Value value, resolve(body.substr(0, end)));
    body = body.substr(end);
    if (!body.empty() && body[0] == '!') {
      if (body.size() < 2 || (body.size() > 2 && body[2] != ':')) {
        return rt_.raise("expected ':' after conversion specifier");
      }
      PHIAL_TRY(convert(body[1], value));
      body = body.substr(2);
    }
    Builder spec(rt_);
    if (!body.empty()) PHIAL_TRY(run(spec, body.substr(1), nesting + 1));
    return format_value(rt_, out, value, spec.text());
  }

  Status convert(char how, Value& value) {
    Builder text(rt_);
    if (how == 's') {
      PHIAL_TRY(write_str(rt_, text, value));
    } else if (how == 'r') {
      PHIAL_TRY(write_repr(rt_, text, value));
    } else {
      return rt_.raise(std::string("Unknown conversion specifier ") + how);
    }
    PHIAL_ASSIGN(value, rt_.string(text.take()));
    return {};
  }

  Result<Value> resolve(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    PHIAL_ASSIGN(Value value, argument(name.substr(0, end)));
    name = name.substr(end);
    while (!name.empty()) {
      PHIAL_TRY(rt_.step());
      if (name[0] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", 1), name.size());
        PHIAL_ASSIGN(value, get_attribute(rt_, value, name.substr(1, stop - 1)));
        name = name.substr(stop);
        continue;
      }
      const size_t close = name.find(']');
      if (name[0] != '[' || close == std::string_view::npos) {
        return rt_.raise("Missing ']' in format string");
      }
      const std::string_view key = name.substr(1, close - 1);
      const ParsedInt index = parse_python_int(key, 10);
      const bool number = index.state == ParsedInt::State::ok && is_digit(key[0]);
      Value item;
      if (number) {
        item = Value(index.value);
      } else {
        PHIAL_ASSIGN(item, rt_.string(std::string(key)));
      }
      PHIAL_ASSIGN(value, get_item(rt_, value, item));
      name = name.substr(close + 1);
    }
    return value;
  }

  Result<Value> argument(std::string_view name) {
    const bool number = !name.empty() && std::all_of(name.begin(), name.end(), is_digit);
    if (!number && !name.empty()) {
      for (const auto& [key, value] : args_.named) {
        if (key == name) return value;
      }
      return rt_.raise("KeyError: '" + std::string(name) + "'");
    }
    // Either all fields are numbered by hand or none is.
    if (number ? automatic_ > 0 : manual_) {
      return rt_.raise("cannot switch between manual and automatic field numbering");
    }
    size_t at = 0;
    size_t index = 0;
    if (number) {
      manual_ = true;
      index = read_number(name, at);
    } else {
      index = automatic_++;
    }
    if (index >= args_.positional.size()) {
      return rt_.raise("Replacement index " + std::to_string(index) +
                       " out of range for positional args tuple");
    }
    return args_.positional[index];
  }

  Runtime& rt_;
  const CallArgs& args_;
  size_t automatic_ = 0;
  bool manual_ = false;
};

}  // namespace

Result<Value> format_percent(Runtime& rt, const Value& format, const Value& values) {
  return PercentFormatter(rt, format, values).run();
}

Result<Value> format_braces(Runtime& rt, const Value& format, const CallArgs& args) {
  Builder out(rt);
  PHIAL_TRY(BraceFormatter(rt, args).run(out, format.text(), 0));
  return rt.string(out.take(), format.is_markup());
}

}  // namespace phial::jinja
