// The values of templates: Python's, as far as Jinja shows them. Strings, lists, tuples and dicts
// are immutable (the sandbox of Hugging Face forbids their mutation) and shared by reference.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace phial::jinja {

class Runtime;
class Builder;
class Object;
class Value;
struct StringData;
struct ListData;
struct DictData;

// Memory that a value holds, taken from a rendering's budget for as long as the value lives.
class Charge {
 public:
  Charge() = default;
  Charge(uint64_t* live_bytes, uint64_t bytes) : live_bytes_(live_bytes), bytes_(bytes) {
    *live_bytes_ += bytes_;
  }
  Charge(Charge&& other) noexcept
      : live_bytes_(std::exchange(other.live_bytes_, nullptr)), bytes_(other.bytes_) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(live_bytes_, other.live_bytes_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge() {
    if (live_bytes_ != nullptr) *live_bytes_ -= bytes_;
  }

 private:
  uint64_t* live_bytes_ = nullptr;
  uint64_t bytes_ = 0;
};

// An undefined value says what is missing once it is used.
struct UndefinedData {
  std::string message;
};
struct NoneTag {};

class Value {
 public:
  enum class Kind { undefined, none, boolean, integer, real, string, list, dict, object };

  Value() = default;  // "missing": a variable nobody assigned, an argument nobody gave
  static Value none() { return Value(NoneTag{}); }
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  explicit Value(NoneTag tag) : data_(tag) {}
  explicit Value(std::shared_ptr<const UndefinedData> data) : data_(std::move(data)) {}
  explicit Value(std::shared_ptr<const StringData> data) : data_(std::move(data)) {}
  explicit Value(std::shared_ptr<const ListData> data) : data_(std::move(data)) {}
  explicit Value(std::shared_ptr<const DictData> data) : data_(std::move(data)) {}
  explicit Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool missing() const { return is_undefined() && *std::get_if<0>(&data_) == nullptr; }
  bool is_undefined() const { return data_.index() == 0; }
  bool is_none() const { return kind() == Kind::none; }
  bool is_string() const { return kind() == Kind::string; }
  // int or bool, which is an int in Python
  bool is_integral() const { return kind() == Kind::integer || kind() == Kind::boolean; }
  bool is_number() const { return is_integral() || kind() == Kind::real; }
  bool is_list() const;  // a list, not a tuple
  bool is_tuple() const;
  bool is_markup() const;

  // The value if it is of that kind, else null.
  const bool* if_bool() const { return std::get_if<bool>(&data_); }
  const double* if_real() const { return std::get_if<double>(&data_); }
  const StringData* if_string() const { return get_shared<const StringData>(); }
  const ListData* if_list() const { return get_shared<const ListData>(); }  // or a tuple
  const DictData* if_dict() const { return get_shared<const DictData>(); }
  Object* if_object() const { return get_shared<Object>(); }
  template <class T>
  T* if_a() const {
    return dynamic_cast<T*>(if_object());
  }
  // The number of an int or bool.
  std::optional<int64_t> integral() const;
  // The number of an int, bool or float.
  std::optional<double> number() const;
  // REQUIRES: is_string()
  const std::string& text() const;
  // REQUIRES: is_undefined(); empty for "missing"
  std::string_view undefined_message() const;

  // `a is b`: the same object, or equal scalars of one kind.
  bool same_as(const Value& other) const;
  // How deep containers nest: 0 for scalars and strings.
  int depth() const;
  // Python's name of the type.
  std::string_view type_name() const;

 private:
  template <class T>
  T* get_shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }

  std::variant<std::shared_ptr<const UndefinedData>, NoneTag, bool, int64_t, double,
               std::shared_ptr<const StringData>, std::shared_ptr<const ListData>,
               std::shared_ptr<const DictData>, std::shared_ptr<Object>>
      data_;
};

struct StringData {
  std::string text;     // UTF-8
  size_t length = 0;    // in characters
  bool markup = false;  // made by `safe` or `escape`: what is added to it gets escaped
  Charge charge;

  bool ascii() const { return length == text.size(); }
};

struct ListData {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;
  bool group = false;            // a pair of groupby(), whose parts are also named grouper and list
  std::optional<uint64_t> hash;  // of a tuple whose elements are all hashable
  Charge charge;
};

struct DictData {
  using Member = std::pair<Value, Value>;
  std::vector<Member> members;                      // in order of insertion, keys differ
  std::unordered_multimap<uint64_t, size_t> index;  // hash of key to member, for large dicts
  int depth = 1;
  Charge charge;

  // The value for a string key; null when there is none.
  const Value* find(std::string_view key) const;
  // For a key of any kind, of which hash_of() is `hash`; null when there is none.
  Result<const Value*> find(Runtime& rt, const Value& key, uint64_t hash) const;
  void build_index();
};

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Python's iterator: pulls one value after another.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // False at the end.
  virtual Result<bool> next(Runtime& rt, Value& out) = 0;
};

// Everything that is no plain data: ranges, generators, namespaces, macros, loops, methods.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  virtual int depth() const { return 1; }
  virtual bool callable() const { return false; }
  virtual Result<Value> call(Runtime& rt, CallArgs& args);
  // The attribute, or "missing".
  virtual Result<Value> attribute(Runtime& rt, std::string_view name);
  // An iterator over the object, or null when it is not iterable.
  virtual Result<std::unique_ptr<Iterator>> iterate(Runtime& rt);
  virtual bool iterable() const { return false; }
  // len(), or nothing when the object has none (loops count their rest to know).
  virtual Result<std::optional<int64_t>> length(Runtime& rt);
  virtual bool truth() const { return true; }
  // repr()
  virtual Status write(Runtime& rt, Builder& out, int depth);
  // Lets go of all values (see Runtime::adopt).
  virtual void clear() {}

  Charge charge;
};

using Native = Result<Value> (*)(Runtime& rt, const Value& self, CallArgs& args);

// Hash of a value that can be a key; equal keys have equal hashes. Nothing for unhashable values.
std::optional<uint64_t> hash_of(const Value& value);

}  // namespace phial::jinja
