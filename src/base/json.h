// JSON values: strict (RFC 8259), bounded, and safe on hostile text. Reading is done by simdjson,
// which does not show here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/budget.h"
#include "base/status.h"

namespace phial {

// An immutable-by-convention JSON value. Objects keep the order of their members.
// Integers that fit int64 are integers; all other numbers are reals (so are larger integers, as
// in tokenizer_config.json's model_max_length of 1e30).
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;
  enum class Kind { null, boolean, integer, real, string, array, object };

  Json() = default;  // null
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<int64_t>(value)) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value);  // a real when it does not fit int64
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  // Not the variant's own copy: when memory runs out in it, libstdc++ 12 destroys an alternative
  // that was never made (the variant counts as never valueless, so its index is not looked at).
  // Assignment makes the copy first.
  Json(const Json& other) { *this = other; }
  Json(Json&&) noexcept = default;
  Json& operator=(const Json&) = default;
  Json& operator=(Json&&) noexcept = default;
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  Kind kind() const { return static_cast<Kind>(value_.index()); }
  const char* kind_name() const;  // "null", "boolean", "integer" ...
  bool is_null() const { return kind() == Kind::null; }
  bool is_number() const { return kind() == Kind::integer || kind() == Kind::real; }

  // The value if it is of that kind, else null.
  const bool* if_bool() const { return std::get_if<bool>(&value_); }
  const int64_t* if_integer() const { return std::get_if<int64_t>(&value_); }
  const double* if_real() const { return std::get_if<double>(&value_); }
  const std::string* if_string() const { return std::get_if<std::string>(&value_); }
  const Array* if_array() const { return std::get_if<Array>(&value_); }
  const Object* if_object() const { return std::get_if<Object>(&value_); }
  // A number of either kind.
  std::optional<double> number() const;

  // The member named `key`; null when this is no object or has no such member. Linear: meant for
  // objects of a few dozen members.
  const Json* find(std::string_view key) const;

  // For building reports: adds a member (this becomes an object) or an element (an array).
  void set(std::string key, Json value);
  void push(Json value);

  bool operator==(const Json&) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonLimits {
  size_t max_depth = 128;
  // Text of more bytes than this is refused before it is read.
  uint64_t max_bytes = uint64_t{1} << 30;
};

// Parses one JSON text. `name` says in errors which file it is. Errors: damaged (not JSON, not
// UTF-8, a key twice in one object; with the byte offset where known), over_limit (too large, too
// deep, over the budget).
Result<Json> parse_json(std::string_view text, std::string_view name, ParseBudget& budget,
                        const JsonLimits& limits = {});
Result<Json> parse_json(std::string_view text, std::string_view name);

// Compact text; strings that are not UTF-8 are written with U+FFFD. `indent` > 0: one member a
// line.
std::string to_text(const Json& value, int indent = 0);

}  // namespace phial
