#include "text/jinja_number.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

char lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (lower_ascii(text[i]) != lower[i]) return false;
  }
  return true;
}

// Drops single underscores between digits; false when one stands elsewhere.
bool drop_underscores(std::string_view text, std::string& out) {
  const auto is_word_char = [](char c) {
    return is_ascii_digit(c) || (lower_ascii(c) >= 'a' && lower_ascii(c) <= 'z');
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_word_char(text[i - 1]) ||
               !is_word_char(text[i + 1])) {
      return false;
    }
  }
  return true;
}

// [digits] [. [digits]] [e [sign] digits] with a digit before the exponent.
bool is_decimal_number(std::string_view text) {
  size_t at = 0;
  size_t digits = 0;
  const auto skip_digits = [&] {
    const size_t from = at;
    while (at < text.size() && is_ascii_digit(text[at])) ++at;
    return at - from;
  };
  digits += skip_digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    digits += skip_digits();
  }
  if (digits == 0) return false;
  if (at < text.size() && lower_ascii(text[at]) == 'e') {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (skip_digits() == 0) return false;
  }
  return at == text.size();
}

// What from_chars calls out of range is either huge or tiny: decided by the place of the first
// digit that is not zero.
double out_of_range_value(std::string_view text) {
  int64_t exponent = 0;
  const size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    const bool negative = digits[0] == '-';
    if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
    constexpr int64_t kMany = int64_t{1} << 40;
    for (const char c : digits) exponent = std::min(kMany, exponent * 10 + (c - '0'));
    if (negative) exponent = -exponent;
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  const size_t first = text.find_first_not_of("0.");
  if (first == std::string_view::npos) return 0;
  const int64_t place = static_cast<int64_t>(point) - static_cast<int64_t>(first) + exponent;
  return place > 0 ? std::numeric_limits<double>::infinity() : 0;
}

}  // namespace

std::string python_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (is_ascii_digit(c)) digits += c;
  }
  std::string out = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    const int size = std::abs(exponent);
    return out + (exponent < 0 ? "e-" : "e+") + (size < 10 ? "0" : "") + std::to_string(size);
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<double> parse_python_float(std::string_view text) {
  text = strip_space(text);
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  double value = 0;
  if (equals_ignoring_case(text, "inf") || equals_ignoring_case(text, "infinity")) {
    value = std::numeric_limits<double>::infinity();
  } else if (equals_ignoring_case(text, "nan")) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    std::string digits;
    if (!drop_underscores(text, digits) || !is_decimal_number(digits)) return std::nullopt;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (parsed.ec == std::errc::result_out_of_range) value = out_of_range_value(digits);
  }
  return negative ? -value : value;
}

ParsedInt parse_python_int(std::string_view text, int64_t base) {
  text = strip_space(text);
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const char mark = text.size() > 1 && text[0] == '0' ? lower_ascii(text[1]) : '\0';
  const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked != 0 && (base == 0 || base == marked)) {
    text.remove_prefix(text.size() > 2 && text[2] == '_' ? 3 : 2);
    base = marked;
  } else if (base == 0) {
    // Leading zeros are refused here, as in source code.
    if (text.size() > 1 && text[0] == '0' &&
        text.find_first_not_of("0_") != std::string_view::npos) {
      return {};
    }
    base = 10;
  }
  if (base < 2 || base > 36) return {};
  std::string digits;
  if (text.empty() || !drop_underscores(text, digits)) return {};
  ParsedInt out;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out.value,
                                      static_cast<int>(base));
  if (digits[0] == '-' || parsed.ptr != digits.data() + digits.size() ||
      parsed.ec == std::errc::invalid_argument) {
    return {};
  }
  out.state = parsed.ec == std::errc() ? ParsedInt::State::ok : ParsedInt::State::too_large;
  if (negative) out.value = -out.value;
  return out;
}

double python_round(double value, int64_t digits) {
  // 308 decimal places behind the point tell all doubles apart, and no double reaches 10^309.
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  char buffer[kMaxPrecision + 400];
  if (digits >= 0) {
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed,
                                   static_cast<int>(digits));
    return parse_python_float({buffer, static_cast<size_t>(end.ptr - buffer)}).value_or(value);
  }
  // As CPython's fallback: scale, round half to even, scale back.
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / scale) * scale;
}

double divide_integers(int64_t a, int64_t b) {
  constexpr int64_t kExact = int64_t{1} << 53;
  const bool exact = a >= -kExact && a <= kExact && b >= -kExact && b <= kExact;
  if (exact) return static_cast<double>(a) / static_cast<double>(b);
  return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
}

std::string format_real(double value, char type, int precision) {
  char buffer[2 * kMaxPrecision];
  const auto end = std::to_chars(
      buffer, buffer + sizeof buffer, value,
      type == 'e' ? std::chars_format::scientific : std::chars_format::fixed, precision);
  return {buffer, end.ptr};
}

}  // namespace phial::jinja
