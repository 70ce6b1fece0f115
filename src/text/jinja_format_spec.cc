#include "text/jinja_format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/utf8.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view first_characters(std::string_view text, size_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) at += utf8::decode(text.substr(at)).length;
  return text.substr(0, at);
}

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

// `digits` with a separator before each group but the first, and zeros in front up to `least`
// characters in all (one more where a separator would come first).
std::string group_digits(std::string_view digits, char separator, size_t every, size_t least) {
  std::string out;  // backwards
  size_t rest = digits.size();
  bool first = true;
  while (rest > 0 || out.size() < least || first) {
    if (!first) out += separator;
    first = false;
    const size_t missing = least > out.size() ? least - out.size() : 0;
    const size_t group = std::min(every, std::max({rest, missing, size_t{1}}));
    for (size_t i = 0; i < group; ++i) out += rest > 0 ? digits[--rest] : '0';
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// A number in parts: sign and prefix, digits that can be grouped, what follows them.
struct NumberText {
  std::string head;
  std::string digits;
  std::string tail;
  size_t group = 3;
};

std::string sign_of(const FormatSpec& spec, bool negative) {
  if (negative) return "-";
  return spec.sign == '\0' || spec.sign == '-' ? "" : std::string(1, spec.sign);
}

Status add_padded(Runtime& rt, Builder& out, const FormatSpec& spec, std::string_view head,
                  std::string_view body) {
  const size_t size = head.size() + count_characters(body);
  const size_t pad = spec.width > size ? spec.width - size : 0;
  PHIAL_TRY(rt.check_string_size(pad));
  PHIAL_TRY(rt.step_for_characters(pad));
  const size_t before = spec.align == '<' ? 0 : spec.align == '^' ? pad / 2 : pad;
  const auto add_fill = [&](size_t n) -> Status {
    if (spec.fill.size() == 1) return out.add(n, spec.fill[0]);
    for (; n > 0; --n) PHIAL_TRY(out.add(spec.fill));
    return {};
  };
  if (spec.align == '=') {
    PHIAL_TRY(out.add(head));
    PHIAL_TRY(add_fill(pad));
    return out.add(body);
  }
  PHIAL_TRY(add_fill(before));
  PHIAL_TRY(out.add(head));
  PHIAL_TRY(out.add(body));
  return add_fill(pad - before);
}

Status write_number(Runtime& rt, Builder& out, FormatSpec spec, NumberText text) {
  if (spec.align == '\0') spec.align = '>';
  if (spec.grouping != '\0' && !text.digits.empty()) {
    // Zeros that fill the width are grouped as well.
    size_t least = 0;
    const size_t others = text.head.size() + text.tail.size();
    if (spec.fill == "0" && spec.align == '=' && spec.width > others) {
      least = spec.width - others;
      PHIAL_TRY(rt.check_string_size(least));
      PHIAL_TRY(rt.step_for_characters(least));
    }
    text.digits = group_digits(text.digits, spec.grouping, text.group, least);
  }
  return add_padded(rt, out, spec, text.head, text.digits + text.tail);
}

// Fixed or scientific, whichever fits `precision` significant digits (C's "g"). Without
// `keep_zeros` those at the end go, and the point with them. With `python` as format() does it for
// a float without a type: one digit less fits, and a whole number gets ".0".
std::string general_text(double value, int precision, bool keep_zeros, bool python) {
  precision = std::max(precision, 1);
  std::string out = format_real(value, 'e', precision - 1);
  const size_t e = out.find('e');
  const int exponent = std::atoi(out.c_str() + e + 1);
  const bool scientific = exponent < -4 || exponent >= precision - (python ? 1 : 0);
  std::string tail;
  if (scientific) {
    tail = out.substr(e);
    out.resize(e);
  } else {
    out = format_real(value, 'f', precision - 1 - exponent);
  }
  if (out.find('.') != std::string::npos && !keep_zeros) {
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
  }
  if (python && !scientific && out.find('.') == std::string::npos) out += ".0";
  return out + tail;
}

// The digits of a finite number that is not negative.
std::string real_text(const FormatSpec& spec, double value) {
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  std::string out;
  switch (spec.type) {
    case '\0':
      out = spec.precision < 0 ? python_repr(value)
                               : general_text(value, precision, spec.alternate, true);
      break;
    case 'n':
    case 'g':
    case 'G':
      out = general_text(value, precision, spec.alternate, false);
      break;
    case '%':
      out = format_real(value * 100, 'f', precision);
      break;
    default:
      out = format_real(value, static_cast<char>(spec.type | 0x20), precision);
      break;
  }
  if (spec.alternate && out.find('.') == std::string::npos) {
    out.insert(std::min(out.find('e'), out.size()), 1, '.');
  }
  if (spec.type == 'E' || spec.type == 'G') {
    std::replace(out.begin(), out.end(), 'e', 'E');
  }
  return out;
}

// "[[fill]align][sign][z][#][0][width][grouping][.precision][type]"
Status parse_spec(Runtime& rt, std::string_view text, char default_align, FormatSpec& spec) {
  size_t at = 0;
  const auto peek = [&](size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t fill = text.empty() ? 0 : utf8::decode(text).length;
  bool filled = false;
  if (fill > 0 && is_align(peek(fill))) {
    spec.fill = text.substr(0, fill);
    spec.align = peek(fill);
    at = fill + 1;
    filled = true;
  } else if (is_align(peek(0))) {
    spec.align = peek(0);
    at = 1;
  }
  if (peek(at) == '+' || peek(at) == '-' || peek(at) == ' ') spec.sign = text[at++];
  if (peek(at) == 'z') {
    spec.no_minus_zero = true;
    ++at;
  }
  if (peek(at) == '#') {
    spec.alternate = true;
    ++at;
  }
  if (!filled && peek(at) == '0') {
    spec.fill = "0";
    if (spec.align == '\0' && default_align == '>') spec.align = '=';
    ++at;
  }
  if (spec.align == '\0') spec.align = default_align;
  spec.width = read_digits(text, at);
  if (peek(at) == ',') spec.grouping = text[at++];
  if (peek(at) == '_') {
    if (spec.grouping != '\0') return rt.raise("Cannot specify both ',' and '_'.");
    spec.grouping = text[at++];
  }
  if (peek(at) == ',') {
    return rt.raise(spec.grouping == '_' ? "Cannot specify both ',' and '_'."
                                         : "Cannot specify ',' with ','.");
  }
  if (peek(at) == '.') {
    ++at;
    if (!is_digit(peek(at))) return rt.raise("Format specifier missing precision");
    spec.precision = static_cast<int>(std::min<size_t>(read_digits(text, at), 1 << 30));
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return rt.raise("Invalid format specifier");
  constexpr std::string_view kGrouped("defgEG%F\0", 9);
  constexpr std::string_view kUnderscored = "boxX";
  if (spec.grouping != '\0' && kGrouped.find(spec.type) == std::string_view::npos &&
      (spec.grouping == ',' || kUnderscored.find(spec.type) == std::string_view::npos)) {
    return rt.raise(std::string("Cannot specify '") + spec.grouping + "' with '" + spec.type +
                    "'.");
  }
  return {};
}

bool is_one_of(char type, std::string_view types) {
  return type != '\0' && types.find(type) != std::string_view::npos;
}

Error unknown_type(Runtime& rt, const FormatSpec& spec, const Value& value) {
  return rt.raise(std::string("Unknown format code '") + spec.type + "' for object of type '" +
                  std::string(value.type_name()) + "'");
}

Status format_text(Runtime& rt, Builder& out, const FormatSpec& spec, const Value& value) {
  if (spec.type != '\0' && spec.type != 's') return unknown_type(rt, spec, value);
  if (spec.grouping != '\0') {
    return rt.raise(std::string("Cannot specify '") + spec.grouping + "' with 's'.");
  }
  const char* what = spec.sign != '\0'    ? "Sign not allowed"
                     : spec.no_minus_zero ? "Negative zero coercion (z) not allowed"
                     : spec.alternate     ? "Alternate form (#) not allowed"
                     : spec.align == '='  ? "'=' alignment not allowed"
                                          : nullptr;
  if (what != nullptr) return rt.raise(std::string(what) + " in string format specifier");
  return write_text(rt, out, spec, value.text());
}

Status format_integer(Runtime& rt, Builder& out, const FormatSpec& spec, const Value& value) {
  if (spec.type != '\0' && !is_one_of(spec.type, "bcdoxXn")) return unknown_type(rt, spec, value);
  if (spec.precision >= 0) return rt.raise("Precision not allowed in integer format specifier");
  if (spec.no_minus_zero) {
    return rt.raise("Negative zero coercion (z) not allowed in integer format specifier");
  }
  const int64_t number = *value.integral();
  if (spec.type != 'c') return write_integer(rt, out, spec, number);
  if (spec.sign != '\0' || spec.alternate) {
    return rt.raise("Sign and alternate form not allowed with integer format specifier 'c'");
  }
  if (number < 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000)) {
    return rt.raise("%c arg not in range(0x110000)");
  }
  std::string character;
  utf8::append(character, static_cast<char32_t>(number));
  return add_padded(rt, out, spec, "", character);
}

}  // namespace

size_t read_digits(std::string_view text, size_t& at) {
  constexpr size_t kMost = size_t{1} << 40;
  size_t number = 0;
  while (at < text.size() && is_digit(text[at])) {
    number = std::min(kMost, number * 10 + static_cast<size_t>(text[at++] - '0'));
  }
  return number;
}

Status write_text(Runtime& rt, Builder& out, FormatSpec spec, std::string_view text) {
  if (spec.precision >= 0) text = first_characters(text, static_cast<size_t>(spec.precision));
  if (spec.align == '\0') spec.align = '<';
  return add_padded(rt, out, spec, "", text);
}

Status write_integer(Runtime& rt, Builder& out, const FormatSpec& spec, int64_t value) {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const char type = spec.type;
  const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  NumberText text;
  text.head = sign_of(spec, value < 0);
  if (spec.alternate && base != 10) text.head += std::string("0") + type;
  text.digits = in_base(magnitude, base, type == 'X');
  if (spec.precision > static_cast<int>(text.digits.size())) {
    text.digits.insert(0, static_cast<size_t>(spec.precision) - text.digits.size(), '0');
  }
  text.group = base == 10 ? 3 : 4;
  return write_number(rt, out, spec, std::move(text));
}

Status write_real(Runtime& rt, Builder& out, const FormatSpec& spec, double value) {
  bool negative = std::signbit(value) && !std::isnan(value);
  NumberText text;
  if (std::isfinite(value)) {
    const std::string body = real_text(spec, std::fabs(value));
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    text.digits = body.substr(0, whole);
    text.tail = body.substr(whole);
    if (spec.no_minus_zero && body.find_first_of("123456789") == std::string::npos)
      negative = false;
  } else {
    text.tail = std::isnan(value) ? "nan" : "inf";
    if (is_one_of(spec.type, "EFG")) text.tail = std::isnan(value) ? "NAN" : "INF";
  }
  if (spec.type == '%') text.tail += '%';
  text.head = sign_of(spec, negative);
  return write_number(rt, out, spec, std::move(text));
}

Status format_value(Runtime& rt, Builder& out, const Value& value, std::string_view text) {
  if (text.empty()) return write_str(rt, out, value);
  FormatSpec spec;
  if (value.is_string()) {
    PHIAL_TRY(parse_spec(rt, text, '<', spec));
    return format_text(rt, out, spec, value);
  }
  if (!value.is_number()) {
    return rt.raise("unsupported format string passed to " + std::string(value.type_name()));
  }
  PHIAL_TRY(parse_spec(rt, text, '>', spec));
  const bool real = value.if_real() != nullptr;
  if (!real && !is_one_of(spec.type, "eEfFgG%")) return format_integer(rt, out, spec, value);
  if (spec.type != '\0' && !is_one_of(spec.type, "eEfFgGn%")) return unknown_type(rt, spec, value);
  if (spec.precision > kMaxPrecision) return rt.over("precision of a format is too large");
  return write_real(rt, out, spec, *value.number());
}

}  // namespace phial::jinja
