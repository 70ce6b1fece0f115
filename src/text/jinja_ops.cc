#include "text/jinja_ops.h"

#include <cmath>
#include <limits>

#include "base/checked.h"
#include "text/jinja_format.h"
#include "text/jinja_number.h"

namespace phial::jinja {
namespace {

constexpr const char* kBinaryNames[] = {"+", "-", "*", "/", "//", "%", "**"};

Error undefined_used(Runtime& rt, const Value& value) {
  return rt.raise(value.undefined_message());
}

Error no_order(Runtime& rt, const Value& a, const Value& b) {
  return rt.raise("'<' not supported between instances of '" + std::string(a.type_name()) +
                  "' and '" + std::string(b.type_name()) + "'");
}

Error too_large(Runtime& rt) { return rt.over("an integer does not fit 64 bits"); }

// Three-way comparison of an int with a float, exact.
int compare_mixed(int64_t i, double d) {
  if (d >= 9223372036854775808.0) return -1;
  if (d < -9223372036854775808.0) return 1;
  const double whole = std::trunc(d);
  const int64_t w = static_cast<int64_t>(whole);
  if (i != w) return i < w ? -1 : 1;
  return whole == d ? 0 : (d > whole ? -1 : 1);
}

// -1, 0, 1, or 2 when a NaN is involved.
int compare_numbers(const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) return *x < *y ? -1 : *x > *y;
  const double u = *a.number();
  const double v = *b.number();
  if (std::isnan(u) || std::isnan(v)) return 2;
  if (x) return compare_mixed(*x, v);
  if (y) return -compare_mixed(*y, u);
  return u < v ? -1 : u > v;
}

Result<bool> equal_lists(Runtime& rt, const ListData& a, const ListData& b) {
  if (a.tuple != b.tuple || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    PHIAL_ASSIGN(const bool same, equals(rt, a.items[i], b.items[i]));
    if (!same) return false;
  }
  return true;
}

Result<bool> equal_dicts(Runtime& rt, const DictData& a, const DictData& b) {
  if (a.members.size() != b.members.size()) return false;
  for (const auto& [key, value] : a.members) {
    PHIAL_TRY(rt.step());
    PHIAL_ASSIGN(const Value* other, b.find(rt, key, hash_of(key).value_or(0)));
    if (other == nullptr) return false;
    PHIAL_ASSIGN(const bool same, equals(rt, value, *other));
    if (!same) return false;
  }
  return true;
}

// Exact sum, difference or product of ints.
Result<Value> integer_arithmetic(Runtime& rt, BinaryOp op, int64_t a, int64_t b) {
  std::optional<int64_t> out;
  if (op == BinaryOp::add) {
    out = checked_add(a, b);
  } else if (op == BinaryOp::mul) {
    out = checked_mul(a, b);
  } else {
    int64_t difference = 0;
    if (!__builtin_sub_overflow(a, b, &difference)) out = difference;
  }
  if (!out) return too_large(rt);
  return Value(*out);
}

// Floor division and the remainder that has the sign of the divisor.
Result<Value> integer_division(Runtime& rt, BinaryOp op, int64_t a, int64_t b) {
  if (b == 0) return rt.raise("division by zero");
  if (op == BinaryOp::div) return Value(divide_integers(a, b));
  if (b == -1) {
    if (op == BinaryOp::mod) return Value(int64_t{0});
    if (a == std::numeric_limits<int64_t>::min()) return too_large(rt);
    return Value(-a);
  }
  int64_t quotient = a / b;
  int64_t rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    --quotient;
  }
  return Value(op == BinaryOp::mod ? rest : quotient);
}

Result<Value> integer_power(Runtime& rt, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return rt.raise("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t out = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) return too_large(rt);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return too_large(rt);
  }
  return Value(out);
}

Result<Value> real_division(Runtime& rt, BinaryOp op, double a, double b) {
  if (b == 0) return rt.raise("float division by zero");
  if (op == BinaryOp::div) return Value(a / b);
  // As CPython's float_divmod.
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) {
      rest += b;
      quotient -= 1;
    }
  } else {
    rest = std::copysign(0.0, b);
  }
  if (op == BinaryOp::mod) return Value(rest);
  if (quotient == 0) return Value(std::copysign(0.0, a / b));
  const double whole = std::floor(quotient);
  return Value(quotient - whole > 0.5 ? whole + 1 : whole);
}

Result<Value> real_power(Runtime& rt, double a, double b) {
  if (a == 0 && b < 0) return rt.raise("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
    return rt.raise("the power of a negative number with a fraction is complex");
  }
  const double out = std::pow(a, b);
  if (std::isinf(out) && std::isfinite(a) && std::isfinite(b)) {
    return rt.raise("numerical result out of range");
  }
  return Value(out);
}

Result<Value> number_arithmetic(Runtime& rt, BinaryOp op, const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) {
    switch (op) {
      case BinaryOp::add:
      case BinaryOp::sub:
      case BinaryOp::mul:
        return integer_arithmetic(rt, op, *x, *y);
      case BinaryOp::pow:
        return integer_power(rt, *x, *y);
      default:
        return integer_division(rt, op, *x, *y);
    }
  }
  const double u = *a.number();
  const double v = *b.number();
  switch (op) {
    case BinaryOp::add:
      return Value(u + v);
    case BinaryOp::sub:
      return Value(u - v);
    case BinaryOp::mul:
      return Value(u * v);
    case BinaryOp::pow:
      return real_power(rt, u, v);
    default:
      return real_division(rt, op, u, v);
  }
}

Result<Value> add_strings(Runtime& rt, const Value& a, const Value& b) {
  PHIAL_TRY(rt.check_string_size(uint64_t{a.text().size()} + b.text().size()));
  if (a.is_markup() == b.is_markup()) return rt.string(a.text() + b.text(), a.is_markup());
  PHIAL_ASSIGN(const Value left, escape_value(rt, a));
  PHIAL_ASSIGN(const Value right, escape_value(rt, b));
  return rt.string(left.text() + right.text(), true);
}

Result<Value> add_lists(Runtime& rt, const ListData& a, const ListData& b) {
  PHIAL_TRY(rt.check_memory((a.items.size() + b.items.size()) * sizeof(Value)));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return a.tuple ? rt.tuple(std::move(items)) : rt.list(std::move(items));
}

Result<Value> repeat(Runtime& rt, const Value& sequence, int64_t times) {
  const uint64_t count = times > 0 ? static_cast<uint64_t>(times) : 0;
  if (sequence.is_string()) {
    const std::string& text = sequence.text();
    const auto size = checked_mul<uint64_t>(count, text.size());
    PHIAL_TRY(rt.check_string_size(size.value_or(UINT64_MAX)));
    std::string out;
    out.reserve(*size);
    for (uint64_t done = 0; done < *size; done += text.size()) out += text;
    PHIAL_TRY(rt.step(*size / 64));
    return rt.string(std::move(out), sequence.is_markup());
  }
  const ListData& list = *sequence.if_list();
  const auto size = checked_mul<uint64_t>(count, list.items.size());
  const auto bytes = checked_mul<uint64_t>(size.value_or(UINT64_MAX), sizeof(Value));
  PHIAL_TRY(rt.check_memory(bytes.value_or(UINT64_MAX)));
  std::vector<Value> items;
  items.reserve(*size);
  while (items.size() < *size) items.insert(items.end(), list.items.begin(), list.items.end());
  return list.tuple ? rt.tuple(std::move(items)) : rt.list(std::move(items));
}

bool is_sequence(const Value& value) { return value.is_string() || value.if_list() != nullptr; }

}  // namespace

bool truth(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
    case Value::Kind::none:
      return false;
    case Value::Kind::boolean:
    case Value::Kind::integer:
      return *value.integral() != 0;
    case Value::Kind::real:
      return *value.if_real() != 0;
    case Value::Kind::string:
      return !value.text().empty();
    case Value::Kind::list:
      return !value.if_list()->items.empty();
    case Value::Kind::dict:
      return !value.if_dict()->members.empty();
    case Value::Kind::object:
      return value.if_object()->truth();
  }
  return true;
}

Result<bool> equals(Runtime& rt, const Value& a, const Value& b) {
  PHIAL_TRY(rt.step());
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::undefined:
      return true;
    case Value::Kind::string: {
      if (a.text().size() != b.text().size()) return false;
      PHIAL_TRY(rt.step_for_bytes(a.text().size()));
      return a.text() == b.text();
    }
    case Value::Kind::list:
      return equal_lists(rt, *a.if_list(), *b.if_list());
    case Value::Kind::dict:
      return equal_dicts(rt, *a.if_dict(), *b.if_dict());
    default:
      return a.same_as(b);
  }
}

Result<bool> less(Runtime& rt, const Value& a, const Value& b) {
  PHIAL_TRY(rt.step());
  if (a.is_undefined()) return undefined_used(rt, a);
  if (b.is_undefined()) return undefined_used(rt, b);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == -1;
  if (a.is_string() && b.is_string()) {
    PHIAL_TRY(rt.step_for_bytes(std::min(a.text().size(), b.text().size())));
    // The order of UTF-8 bytes is that of code points.
    return a.text() < b.text();
  }
  const ListData* x = a.if_list();
  const ListData* y = b.if_list();
  if (x == nullptr || y == nullptr || x->tuple != y->tuple) return no_order(rt, a, b);
  for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
    PHIAL_ASSIGN(const bool same, equals(rt, x->items[i], y->items[i]));
    if (!same) return less(rt, x->items[i], y->items[i]);
  }
  return x->items.size() < y->items.size();
}

Result<bool> compare(Runtime& rt, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::in:
      return contains(rt, b, a);
    case CompareOp::not_in: {
      PHIAL_ASSIGN(const bool found, contains(rt, b, a));
      return !found;
    }
    case CompareOp::eq:
      return equals(rt, a, b);
    case CompareOp::ne: {
      PHIAL_ASSIGN(const bool same, equals(rt, a, b));
      return !same;
    }
    case CompareOp::lt:
      return less(rt, a, b);
    case CompareOp::gt:
      return less(rt, b, a);
    case CompareOp::le:
    case CompareOp::ge:
      break;
  }
  if (op == CompareOp::ge) return compare(rt, CompareOp::le, b, a);
  PHIAL_ASSIGN(const bool below, less(rt, a, b));
  if (below) return true;
  return equals(rt, a, b);
}

Result<Value> binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b) {
  // Formatting comes first: `'%s' % undefined` prints it.
  if (op == BinaryOp::mod && a.is_string()) return format_percent(rt, a, b);
  if (a.is_undefined()) return undefined_used(rt, a);
  if (b.is_undefined()) return undefined_used(rt, b);
  if (a.is_number() && b.is_number()) return number_arithmetic(rt, op, a, b);
  if (op == BinaryOp::add) {
    if (a.is_string() && b.is_string()) return add_strings(rt, a, b);
    const ListData* x = a.if_list();
    const ListData* y = b.if_list();
    if (x != nullptr && y != nullptr && x->tuple == y->tuple) return add_lists(rt, *x, *y);
  }
  if (op == BinaryOp::mul) {
    if (is_sequence(a) && b.is_integral()) return repeat(rt, a, *b.integral());
    if (is_sequence(b) && a.is_integral()) return repeat(rt, b, *a.integral());
  }
  return rt.raise(std::string("unsupported operand type(s) for ") +
                  kBinaryNames[static_cast<size_t>(op)] + ": '" + std::string(a.type_name()) +
                  "' and '" + std::string(b.type_name()) + "'");
}

Result<Value> negate(Runtime& rt, const Value& value) {
  if (value.is_undefined()) return undefined_used(rt, value);
  if (const double* d = value.if_real()) return Value(-*d);
  if (const auto i = value.integral()) {
    if (*i == std::numeric_limits<int64_t>::min()) return too_large(rt);
    return Value(-*i);
  }
  return rt.raise("bad operand type for unary -: '" + std::string(value.type_name()) + "'");
}

Result<Value> positive(Runtime& rt, const Value& value) {
  if (value.is_undefined()) return undefined_used(rt, value);
  if (const double* d = value.if_real()) return Value(*d);
  if (const auto i = value.integral()) return Value(*i);
  return rt.raise("bad operand type for unary +: '" + std::string(value.type_name()) + "'");
}

Result<int64_t> to_integer(Runtime& rt, const Value& value, std::string_view role) {
  if (const auto i = value.integral()) return *i;
  return rt.raise(std::string(role) + " must be an integer, not '" +
                  std::string(value.type_name()) + "'");
}

Result<std::string_view> expect_string(Runtime& rt, const Value& value, std::string_view role) {
  if (value.is_string()) return std::string_view(value.text());
  return rt.raise(std::string(role) + " must be a str, not '" + std::string(value.type_name()) +
                  "'");
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  constexpr size_t kShort = 16;  // the naive search looks at each byte this often at most
  if (needle.size() <= kShort) return text.find(needle, from);
  if (from > text.size() || text.size() - from < needle.size()) return std::string_view::npos;
  // Knuth, Morris and Pratt: border[i] is the longest proper border of needle[0, i].
  std::vector<uint32_t> border(needle.size());
  uint32_t matched = 0;
  for (size_t i = 1; i < needle.size(); ++i) {
    while (matched > 0 && needle[i] != needle[matched]) matched = border[matched - 1];
    if (needle[i] == needle[matched]) ++matched;
    border[i] = matched;
  }
  matched = 0;
  for (size_t i = from; i < text.size(); ++i) {
    while (matched > 0 && text[i] != needle[matched]) matched = border[matched - 1];
    if (text[i] == needle[matched]) ++matched;
    if (matched == needle.size()) return i + 1 - matched;
  }
  return std::string_view::npos;
}

}  // namespace phial::jinja
