// The tests behind `is`.
#include "text/jinja_filters.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

using Args = CallArgs;

Status no_arguments(Runtime& rt, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "test", args, {}));
  return {};
}

Result<Value> one_argument(Runtime& rt, Args& args, std::string_view name) {
  PHIAL_ASSIGN(std::vector<Value> bound, bind_arguments(rt, "test", args, {name}, 1));
  return std::move(bound[0]);
}

// A test of the value alone.
template <bool (*kHolds)(const Value&)>
Result<bool> plain(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  return kHolds(self);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.if_bool() != nullptr; }
bool is_true(const Value& v) { return v.if_bool() != nullptr && *v.if_bool(); }
bool is_false(const Value& v) { return v.if_bool() != nullptr && !*v.if_bool(); }
bool is_integer(const Value& v) { return v.kind() == Value::Kind::integer; }
bool is_float(const Value& v) { return v.if_real() != nullptr; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.if_dict() != nullptr; }
bool is_escaped(const Value& v) { return v.is_markup(); }
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.if_object() != nullptr && v.if_object()->callable());
}
// Has a length and can be subscripted.
bool is_sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.if_list() != nullptr || v.if_dict() != nullptr ||
         v.type_name() == "range";
}

// Remainder by `divisor`, compared with `expected`.
Result<bool> has_remainder(Runtime& rt, const Value& self, const Value& divisor, int64_t expected) {
  PHIAL_ASSIGN(const Value rest, binary(rt, BinaryOp::mod, self, divisor));
  return equals(rt, rest, Value(expected));
}

Result<bool> test_even(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  return has_remainder(rt, self, Value(int64_t{2}), 0);
}

Result<bool> test_odd(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  return has_remainder(rt, self, Value(int64_t{2}), 1);
}

Result<bool> test_divisible(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const Value divisor, one_argument(rt, args, "num"));
  return has_remainder(rt, self, divisor, 0);
}

template <bool (*kHolds)(std::string_view)>
Result<bool> test_case(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  PHIAL_ASSIGN(const std::string text, to_str(rt, self));
  PHIAL_TRY(rt.step_for_characters(text.size()));
  return kHolds(text);
}

template <CompareOp kOp>
Result<bool> test_compare(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const Value other, one_argument(rt, args, ""));
  return compare(rt, kOp, self, other);
}

Result<bool> test_in(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const Value container, one_argument(rt, args, "seq"));
  return contains(rt, container, self);
}

Result<bool> test_same_as(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const Value other, one_argument(rt, args, "other"));
  return self.same_as(other);
}

Result<bool> test_filter(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  PHIAL_ASSIGN(const uint64_t looked_up, hash_of_key(rt, self));
  static_cast<void>(looked_up);
  return self.is_string() && find_filter(self.text()) != nullptr;
}

Result<bool> test_test(Runtime& rt, const Value& self, Args& args) {
  PHIAL_TRY(no_arguments(rt, args));
  PHIAL_ASSIGN(const uint64_t looked_up, hash_of_key(rt, self));
  static_cast<void>(looked_up);
  return self.is_string() && find_test(self.text()) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"iterable", plain<is_iterable>},
    {"sequence", plain<is_sequence>},
    {"callable", plain<is_callable>},
    {"escaped", plain<is_escaped>},
    {"even", test_even},
    {"odd", test_odd},
    {"divisibleby", test_divisible},
    {"lower", test_case<is_lower_text>},
    {"upper", test_case<is_upper_text>},
    {"in", test_in},
    {"sameas", test_same_as},
    {"filter", test_filter},
    {"test", test_test},
    {"eq", test_compare<CompareOp::eq>},
    {"==", test_compare<CompareOp::eq>},
    {"equalto", test_compare<CompareOp::eq>},
    {"ne", test_compare<CompareOp::ne>},
    {"!=", test_compare<CompareOp::ne>},
    {"lt", test_compare<CompareOp::lt>},
    {"<", test_compare<CompareOp::lt>},
    {"lessthan", test_compare<CompareOp::lt>},
    {"le", test_compare<CompareOp::le>},
    {"<=", test_compare<CompareOp::le>},
    {"gt", test_compare<CompareOp::gt>},
    {">", test_compare<CompareOp::gt>},
    {"greaterthan", test_compare<CompareOp::gt>},
    {"ge", test_compare<CompareOp::ge>},
    {">=", test_compare<CompareOp::ge>},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace phial::jinja
