#include "formats/gguf_metadata.h"

namespace phial {
namespace {

Error wrong_type(const GgufMetadata& metadata, std::string_view key, const char* expected,
                 const GgufMetadata::Value& value) {
  return damaged(metadata.file + ": " + std::string(key),
                 std::string("expected ") + expected + ", found " + value.type_name);
}

// The value of `key` when it is a `T`; null when it is absent.
template <class T>
Result<const T*> typed(const GgufMetadata& metadata, std::string_view key, const char* expected) {
  const GgufMetadata::Value* value = metadata.find(key);
  if (value == nullptr) return static_cast<const T*>(nullptr);
  if (const T* typed_value = std::get_if<T>(&value->data)) return typed_value;
  return wrong_type(metadata, key, expected, *value);
}

template <class T>
Result<std::optional<T>> typed_copy(const GgufMetadata& metadata, std::string_view key,
                                    const char* expected) {
  PHIAL_ASSIGN(const T* value, typed<T>(metadata, key, expected));
  return value == nullptr ? std::optional<T>() : std::optional<T>(*value);
}

}  // namespace

Status GgufMetadata::add(std::string key, Value value) {
  if (!index_.emplace(key, entries_.size()).second) {
    return damaged(file, "the key \"" + key + "\" occurs twice");
  }
  entries_.push_back({std::move(key), std::move(value)});
  return {};
}

const GgufMetadata::Value* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].value;
}

Result<std::optional<int64_t>> GgufMetadata::integer(std::string_view key) const {
  return typed_copy<int64_t>(*this, key, "an integer");
}

Result<std::optional<double>> GgufMetadata::real(std::string_view key) const {
  const Value* value = find(key);
  if (value != nullptr) {
    if (const int64_t* integer = std::get_if<int64_t>(&value->data)) {
      return std::optional<double>(static_cast<double>(*integer));
    }
  }
  return typed_copy<double>(*this, key, "a number");
}

Result<std::optional<bool>> GgufMetadata::boolean(std::string_view key) const {
  return typed_copy<bool>(*this, key, "a bool");
}

Result<std::optional<std::string_view>> GgufMetadata::string(std::string_view key) const {
  return typed_copy<std::string_view>(*this, key, "a string");
}

Result<const GgufMetadata::Strings*> GgufMetadata::strings(std::string_view key) const {
  return typed<Strings>(*this, key, "an array of strings");
}

Result<const GgufMetadata::Integers*> GgufMetadata::integers(std::string_view key) const {
  return typed<Integers>(*this, key, "an array of integers");
}

Result<const GgufMetadata::Reals*> GgufMetadata::reals(std::string_view key) const {
  return typed<Reals>(*this, key, "an array of reals");
}

}  // namespace phial
