// The key-value pairs of a GGUF file (ggml docs/gguf.md), kept in file order with their types.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace phial {

class GgufMetadata {
 public:
  // Integers and bools of every width keep their value; arrays are homogeneous. Strings of arrays
  // (a vocabulary) are views into the mapped file, valid as long as the Checkpoint.
  using Integers = std::vector<int64_t>;
  using Reals = std::vector<double>;
  using Strings = std::vector<std::string_view>;
  struct Value {
    // u64 values above INT64_MAX are refused while reading (damaged): no key needs them.
    std::variant<int64_t, double, bool, std::string_view, Integers, Reals, Strings> data;
    const char* type_name;  // "u32", "string", "array of f32" ... for messages
  };
  struct Entry {
    std::string key;
    Value value;
  };

  // Used by the reader. damaged when the key is there already.
  Status add(std::string key, Value value);

  const Value* find(std::string_view key) const;
  bool empty() const { return entries_.empty(); }
  const std::vector<Entry>& entries() const { return entries_; }

  // Typed access: nullopt when absent; damaged, naming `key` and both types, when of another type.
  Result<std::optional<int64_t>> integer(std::string_view key) const;
  Result<std::optional<double>> real(std::string_view key) const;  // integers are widened
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string_view>> string(std::string_view key) const;
  Result<const Strings*> strings(std::string_view key) const;    // null when absent
  Result<const Integers*> integers(std::string_view key) const;  // null when absent
  Result<const Reals*> reals(std::string_view key) const;        // null when absent

  std::string file;  // name for messages

 private:
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> index_;  // key to place in entries_
};

}  // namespace phial
