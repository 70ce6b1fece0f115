// What one rendering may still use, and how values are made under that budget.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja_value.h"

namespace phial::jinja {

class Runtime {
 public:
  Runtime(const TemplateLimits& limits, std::string_view name, int64_t now_unix_seconds)
      : limits_(limits), name_(name), now_(now_unix_seconds), fuel_(limits.fuel) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  virtual ~Runtime();

  const TemplateLimits& limits() const { return limits_; }
  int64_t now() const { return now_; }

  // The line that errors name.
  void set_line(int line) { line_ = line; }
  int line() const { return line_; }

  // Takes fuel: one unit is about a hundred nanoseconds. over_limit when none is left.
  Status step(uint64_t units = 1) {
    if (units > fuel_) return out_of_fuel();
    fuel_ -= units;
    return {};
  }
  // Fuel for copying `bytes`, for looking at each once, and for work done character by character.
  Status step_for_bytes(uint64_t bytes) { return step(bytes / 1024); }
  Status step_for_scan(uint64_t bytes) { return step(bytes / 256); }
  Status step_for_characters(uint64_t bytes) { return step(bytes / 32); }

  // over_limit when a value of so many bytes cannot be made.
  Status check_string_size(uint64_t bytes) const;
  Status check_memory(uint64_t bytes) const;
  Status check_depth(int depth) const;

  // What Python would raise: template_error at the current line.
  Error raise(std::string_view message) const;
  Error over(std::string_view message) const;

  // `text` is UTF-8.
  Result<Value> string(std::string text, bool markup = false);
  Result<Value> list(std::vector<Value> items);
  Result<Value> tuple(std::vector<Value> items);
  // A pair of groupby().
  Result<Value> group(Value grouper, Value members);
  // Later members replace earlier ones of the same key. Raises for unhashable keys.
  Result<Value> dict(std::vector<DictData::Member> members);
  // Charges `bytes` for the object and checks its depth.
  Result<Value> object(std::shared_ptr<Object> object, uint64_t bytes = 128);
  Value undefined(std::string message);

  uint64_t* live_bytes() { return &live_bytes_; }
  // Objects that can hold themselves: cleared when the rendering ends, which breaks such cycles.
  void adopt(std::shared_ptr<Object> object) { adopted_.push_back(std::move(object)); }

 private:
  Error out_of_fuel() const;
  Result<Value> sequence(std::vector<Value> items, bool tuple, bool group);

  const TemplateLimits limits_;
  std::string_view name_;
  int64_t now_;
  int line_ = 1;
  uint64_t fuel_;
  uint64_t live_bytes_ = 0;
  std::vector<std::shared_ptr<Object>> adopted_;
};

// A string under construction that keeps to the limits.
class Builder {
 public:
  explicit Builder(Runtime& rt) : rt_(rt) {}
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder() { *rt_.live_bytes() -= charged_; }

  Status add(std::string_view text) {
    PHIAL_TRY(reserve(text.size()));
    out_ += text;
    return {};
  }
  Status add(size_t count, char c) {
    PHIAL_TRY(reserve(count));
    out_.append(count, c);
    return {};
  }
  size_t size() const { return out_.size(); }
  const std::string& text() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  Status reserve(size_t bytes) {
    PHIAL_TRY(rt_.check_string_size(out_.size() + uint64_t{bytes}));
    PHIAL_TRY(rt_.check_memory(bytes));
    PHIAL_TRY(rt_.step_for_bytes(bytes));
    *rt_.live_bytes() += bytes;
    charged_ += bytes;
    return {};
  }

  Runtime& rt_;
  std::string out_;
  uint64_t charged_ = 0;
};

// The arguments of a call in the order of the parameters `names` ("" is positional only), of which
// the first `required` must be given; the others may be "missing". Raises as Python does for too
// many, too few and unknown arguments.
Result<std::vector<Value>> bind_arguments(Runtime& rt, std::string_view function, CallArgs& args,
                                          std::initializer_list<std::string_view> names,
                                          size_t required = 0);

// A function written in C++, or a method bound to a value.
class NativeFunction final : public Object {
 public:
  explicit NativeFunction(Native function, Value self = {})
      : function_(function), self_(std::move(self)) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  int depth() const override { return self_.depth() + 1; }
  bool callable() const override { return true; }
  Result<Value> call(Runtime& rt, CallArgs& args) override { return function_(rt, self_, args); }

 private:
  Native function_;
  Value self_;
};

struct NamedNative {
  std::string_view name;
  Native function;
};

}  // namespace phial::jinja
