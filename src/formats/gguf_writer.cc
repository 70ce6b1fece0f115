#include "formats/gguf_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>
#include <unordered_set>

#include "base/byte_writer.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "formats/extent.h"
#include "formats/gguf_types.h"

namespace phial {
namespace {

// ggml's GGML_MAX_NAME without the zero at its end.
constexpr size_t kMaxTensorNameBytes = 63;

template <class T>
struct ArrayElement {
  static constexpr bool kIsArray = false;
  using type = T;
};
template <class T>
struct ArrayElement<std::vector<T>> {
  static constexpr bool kIsArray = true;
  using type = T;
};

template <class T>
constexpr GgufValueType value_type() {
  if constexpr (std::is_same_v<T, uint8_t>) return GgufValueType::u8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufValueType::i8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufValueType::u16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufValueType::i16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufValueType::u32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufValueType::i32;
  if constexpr (std::is_same_v<T, float>) return GgufValueType::f32;
  if constexpr (std::is_same_v<T, bool>) return GgufValueType::boolean;
  if constexpr (std::is_same_v<T, std::string>) return GgufValueType::string;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufValueType::u64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufValueType::i64;
  if constexpr (std::is_same_v<T, double>) return GgufValueType::f64;
}

class HeaderBytes {
 public:
  template <class T>
  void number(T value) {
    append_number(bytes_, value);
  }
  void text(std::string_view value) {
    number<uint64_t>(value.size());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  void value(const GgufPair::Value& value) {
    std::visit([this](const auto& typed) { put_value(typed); }, value);
  }
  void pad_to(uint64_t size) { bytes_.resize(size, 0); }
  uint64_t size() const { return bytes_.size(); }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  void type(GgufValueType type) { number(static_cast<uint32_t>(type)); }

  template <class T>
  void put_value(const T& typed) {
    using Element = typename ArrayElement<T>::type;
    if constexpr (ArrayElement<T>::kIsArray) {
      type(GgufValueType::array);
      type(value_type<Element>());
      number<uint64_t>(typed.size());
      for (const auto& element : typed) put(static_cast<const Element&>(element));
    } else {
      type(value_type<T>());
      put(typed);
    }
  }
  void put(const std::string& value) { text(value); }
  template <class T>
  void put(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      number<uint8_t>(value ? 1 : 0);
    } else {
      number(value);
    }
  }

  std::vector<uint8_t> bytes_;
};

// What a value that was read looks like as the type that stands in its file.
template <class T, class From>
GgufPair::Value converted(const From& from) {
  if constexpr (std::is_arithmetic_v<From>) {
    return static_cast<T>(from);
  } else {
    std::vector<T> out;
    out.reserve(from.size());
    for (const auto& element : from) out.push_back(static_cast<T>(element));
    return out;
  }
}

template <class From>
GgufPair::Value with_type(const From& from, GgufValueType type) {
  switch (type) {
    case GgufValueType::u8:
      return converted<uint8_t>(from);
    case GgufValueType::i8:
      return converted<int8_t>(from);
    case GgufValueType::u16:
      return converted<uint16_t>(from);
    case GgufValueType::i16:
      return converted<int16_t>(from);
    case GgufValueType::u32:
      return converted<uint32_t>(from);
    case GgufValueType::i32:
      return converted<int32_t>(from);
    case GgufValueType::f32:
      return converted<float>(from);
    case GgufValueType::boolean:
      return converted<bool>(from);
    case GgufValueType::u64:
      return converted<uint64_t>(from);
    case GgufValueType::f64:
      return converted<double>(from);
    default:
      return converted<int64_t>(from);
  }
}

struct ReadValue {
  GgufValueType type = GgufValueType::i64;  // of the value, or of an array's elements

  explicit ReadValue(std::string_view type_name) {
    const std::span<const GgufValueTypeInfo> types = gguf_value_types();
    for (size_t i = 0; i < types.size(); ++i) {
      if (type_name == types[i].name || type_name == types[i].array_name) {
        type = static_cast<GgufValueType>(i);
      }
    }
  }

  GgufPair::Value operator()(std::string_view text) const { return std::string(text); }
  GgufPair::Value operator()(const GgufMetadata::Strings& texts) const {
    return std::vector<std::string>(texts.begin(), texts.end());
  }
  template <class From>
  GgufPair::Value operator()(const From& from) const {
    return with_type(from, type);
  }
};

Result<uint64_t> alignment_of(const std::vector<GgufPair>& pairs) {
  constexpr std::string_view kKey = "general.alignment";
  for (const GgufPair& pair : pairs) {
    if (pair.key != kKey) continue;
    const auto* value = std::get_if<uint32_t>(&pair.value);
    if (value == nullptr || !std::has_single_bit(*value) || *value > kMaxGgufAlignment) {
      return damaged(kKey, "expected a power of two of type u32, of at most " +
                               std::to_string(kMaxGgufAlignment));
    }
    return uint64_t{*value};
  }
  return uint64_t{kGgufAlignment};
}

Status check_pairs(const std::vector<GgufPair>& pairs) {
  std::unordered_set<std::string_view> keys;
  for (const GgufPair& pair : pairs) {
    if (pair.key.empty() || pair.key.size() > kMaxGgufKeyBytes) {
      return damaged(
          "GGUF", "a key of " + std::to_string(pair.key.size()) + " bytes; 1 to 65535 are allowed");
    }
    if (utf8::find_invalid(pair.key)) return damaged(pair.key, "the key is not UTF-8");
    if (!keys.insert(pair.key).second) return damaged(pair.key, "the key is there twice");
  }
  return {};
}

// Bytes of the tensor's data.
Result<uint64_t> check_tensor(const GgufTensor& tensor) {
  if (tensor.name.empty() || tensor.name.size() > kMaxTensorNameBytes) {
    return unsupported(tensor.name, "a tensor's name of " + std::to_string(tensor.name.size()) +
                                        " bytes; ggml takes 1 to 63");
  }
  const std::string where = "tensor " + tensor.name;
  if (utf8::find_invalid(tensor.name)) return damaged(where, "the name is not UTF-8");
  if (!gguf_can_hold(tensor.grid)) {
    return unsupported(
        where, std::string("a GGUF file cannot hold the grid ") + grid_info(tensor.grid).name);
  }
  if (tensor.shape.empty() || tensor.shape.size() > kMaxGgufDims) {
    return unsupported(where, std::to_string(tensor.shape.size()) + " axes; 1 to 4 are allowed");
  }
  for (const int64_t extent : tensor.shape) {
    if (extent < 1) return damaged(where, "an axis of " + std::to_string(extent));
  }
  const int32_t block = grid_info(tensor.grid).block_values;
  if (tensor.shape.back() % block != 0) {
    return unsupported(where,
                       "rows of " + std::to_string(tensor.shape.back()) +
                           " values are no whole number of blocks of " + std::to_string(block),
                       "choose a grid whose blocks divide them");
  }
  const std::optional<uint64_t> bytes = extent_bytes(tensor.grid, tensor.shape);
  if (!bytes) return damaged(where, "is larger than any file: its dimensions overflow");
  return *bytes;
}

}  // namespace

std::vector<GgufPair> gguf_pairs_of(const GgufMetadata& metadata) {
  std::vector<GgufPair> pairs;
  pairs.reserve(metadata.entries().size());
  for (const GgufMetadata::Entry& entry : metadata.entries()) {
    pairs.push_back({entry.key, std::visit(ReadValue(entry.value.type_name), entry.value.data)});
  }
  return pairs;
}

void set_gguf_pair(std::vector<GgufPair>& pairs, std::string_view key, GgufPair::Value value) {
  const auto there =
      std::ranges::find_if(pairs, [key](const GgufPair& pair) { return pair.key == key; });
  if (there != pairs.end()) {
    there->value = std::move(value);
  } else {
    pairs.push_back({std::string(key), std::move(value)});
  }
}

bool gguf_can_hold(Grid grid) { return find_gguf_tensor_type(grid) != nullptr; }

uint64_t GgufTensor::bytes() const { return extent_bytes(grid, shape).value_or(0); }

Result<GgufLayout> gguf_layout(const std::vector<GgufPair>& pairs,
                               std::vector<GgufTensor> tensors) {
  PHIAL_ASSIGN(const uint64_t alignment, alignment_of(pairs));
  PHIAL_TRY(check_pairs(pairs));
  HeaderBytes header;
  for (const char c : kGgufMagic) header.number(c);
  header.number(kGgufVersion);
  header.number<uint64_t>(tensors.size());
  header.number<uint64_t>(pairs.size());
  for (const GgufPair& pair : pairs) {
    header.text(pair.key);
    header.value(pair.value);
  }
  GgufLayout layout;
  std::unordered_set<std::string_view> names;
  uint64_t offset = 0;  // from the start of the data
  for (const GgufTensor& tensor : tensors) {
    PHIAL_ASSIGN(const uint64_t bytes, check_tensor(tensor));
    if (!names.insert(tensor.name).second) {
      return damaged("tensor " + tensor.name, "is there twice");
    }
    header.text(tensor.name);
    header.number<uint32_t>(static_cast<uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) {
      header.number<uint64_t>(static_cast<uint64_t>(*extent));
    }
    header.number<uint32_t>(find_gguf_tensor_type(tensor.grid)->id);
    header.number<uint64_t>(offset);
    layout.offsets.push_back(offset);
    const auto end = checked_add(offset, bytes);
    const auto next = end ? checked_round_up(*end, alignment) : std::nullopt;
    if (!next || *next > static_cast<uint64_t>(INT64_MAX)) {
      return damaged("tensor " + tensor.name, "the file would be larger than any can be");
    }
    offset = *next;
  }
  // No overflow: the header is in memory.
  const uint64_t data_begin = *checked_round_up(header.size(), alignment);
  header.pad_to(data_begin);
  for (uint64_t& each : layout.offsets) each += data_begin;
  layout.header = header.take();
  layout.tensors = std::move(tensors);
  layout.file_bytes = data_begin + offset;
  return layout;
}

Result<GgufWriter> GgufWriter::create(const Files& files, const std::string& path,
                                      GgufLayout layout) {
  PHIAL_ASSIGN(std::unique_ptr<FileWriter> out, files.create(path));
  GgufWriter writer(std::move(layout), std::move(out));
  PHIAL_TRY(writer.out_->append(writer.layout_.header));
  writer.position_ = writer.layout_.header.size();
  return writer;
}

// Zeros from the end of the current tensor to where the next begins, or to the end of the file.
Status GgufWriter::pad_to_next() {
  static constexpr std::array<uint8_t, 4096> kZeros{};
  ++current_;
  const uint64_t next =
      current_ < layout_.offsets.size() ? layout_.offsets[current_] : layout_.file_bytes;
  while (position_ < next) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(next - position_, kZeros.size()));
    PHIAL_TRY(out_->append(std::span(kZeros).first(count)));
    position_ += count;
  }
  return {};
}

Status GgufWriter::append(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (current_ >= layout_.tensors.size()) {
      return internal_error("GGUF", "more data than the tensors of the file take");
    }
    const uint64_t end = layout_.offsets[current_] + layout_.tensors[current_].bytes();
    const size_t count = static_cast<size_t>(std::min<uint64_t>(end - position_, bytes.size()));
    PHIAL_TRY(out_->append(bytes.first(count)));
    position_ += count;
    bytes = bytes.subspan(count);
    if (position_ == end) PHIAL_TRY(pad_to_next());
  }
  return {};
}

Status GgufWriter::commit() {
  if (position_ != layout_.file_bytes) {
    return internal_error("GGUF", "the data of the file are not complete");
  }
  return out_->commit();
}

}  // namespace phial
