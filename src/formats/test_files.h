// Makes small GGUF and safetensors files byte by byte, whole or damaged in a chosen place. For
// tests and fuzz targets of all rooms.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace phial::test {

// The bytes of a number in little-endian order.
template <class T>
requires std::is_arithmetic_v<T> std::string le(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <class T>
std::string le_all(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) bytes += le(value);
  return bytes;
}

// Numbers of the GGUF value types and of the tensor types that tests use.
enum GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
enum GgmlType : uint32_t {
  kGgmlF32 = 0,
  kGgmlF16 = 1,
  kGgmlQ4_1 = 3,
  kGgmlQ8_0 = 8,
  kGgmlQ4_K = 12,
  kGgmlBF16 = 30
};

inline std::string gguf_string(std::string_view text) {
  return le(static_cast<uint64_t>(text.size())) + std::string(text);
}

class GgufBuilder {
 public:
  struct Tensor {
    std::string name;
    uint32_t type = 0;
    std::vector<uint64_t> dims;  // dims[0] is the length of a row
    std::string data;
    std::optional<uint64_t> offset;  // written instead of the true one
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  // Written instead of the true numbers.
  std::optional<uint64_t> announced_tensors, announced_pairs;
  uint64_t alignment = 32;  // of the data; write the key general.alignment yourself
  std::vector<Tensor> tensors;

  // A pair whose value is given as bytes.
  GgufBuilder& pair(std::string_view key, uint32_t type, std::string_view value) {
    pairs_.push_back(gguf_string(key) + le(type) + std::string(value));
    return *this;
  }
  GgufBuilder& array(std::string_view key, uint32_t type, uint64_t count,
                     std::string_view elements) {
    return pair(key, kArray, le(type) + le(count) + std::string(elements));
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) { return pair(key, kU32, le(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return pair(key, kF32, le(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) {
    return pair(key, kBool, le<uint8_t>(value));
  }
  GgufBuilder& text(std::string_view key, std::string_view value) {
    return pair(key, kString, gguf_string(value));
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += gguf_string(value);
    return array(key, kString, values.size(), elements);
  }
  GgufBuilder& i32s(std::string_view key, const std::vector<int32_t>& values) {
    return array(key, kI32, values.size(), le_all(values));
  }
  GgufBuilder& tensor(std::string name, uint32_t type, std::vector<uint64_t> dims,
                      std::string data) {
    tensors.push_back({std::move(name), type, std::move(dims), std::move(data), {}});
    return *this;
  }

  // Everything before the data, without padding.
  std::string header() const {
    std::string out = magic + le(version) + le(announced_tensors.value_or(tensors.size())) +
                      le(announced_pairs.value_or(pairs_.size()));
    for (const std::string& pair : pairs_) out += pair;
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
      out += gguf_string(tensor.name) + le(static_cast<uint32_t>(tensor.dims.size())) +
             le_all(tensor.dims) + le(tensor.type) + le(tensor.offset.value_or(offset));
      offset = padded(offset + tensor.data.size());
    }
    return out;
  }

  std::string build() const {
    std::string out = header();
    if (tensors.empty()) return out;
    out.resize(padded(out.size()));
    for (const Tensor& tensor : tensors) {
      out += tensor.data;
      out.resize(padded(out.size()));
    }
    return out;
  }

 private:
  uint64_t padded(uint64_t bytes) const { return (bytes + alignment - 1) / alignment * alignment; }

  std::vector<std::string> pairs_;
};

class SafetensorsBuilder {
 public:
  SafetensorsBuilder& tensor(std::string_view name, std::string_view dtype,
                             const std::vector<int64_t>& shape, std::string_view data) {
    std::string extents;
    for (const int64_t extent : shape)
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    return entry(name,
                 R"({"dtype":")" + std::string(dtype) + R"(","shape":[)" + extents +
                     R"(],"data_offsets":[)" + std::to_string(data_.size()) + "," +
                     std::to_string(data_.size() + data.size()) + "]}",
                 data);
  }
  // A member of the header as JSON text; `data` is put behind the data so far.
  SafetensorsBuilder& entry(std::string_view name, std::string_view json,
                            std::string_view data = {}) {
    members_ += (members_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + std::string(json);
    data_ += data;
    return *this;
  }
  std::string build() const { return raw("{" + members_ + "}", data_); }

  // A file of any header and data.
  static std::string raw(std::string_view header, std::string_view data) {
    return le(static_cast<uint64_t>(header.size())) + std::string(header) + std::string(data);
  }

 private:
  std::string members_;
  std::string data_;
};

}  // namespace phial::test
