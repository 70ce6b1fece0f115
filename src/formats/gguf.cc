#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "base/budget.h"
#include "base/byte_reader.h"
#include "base/checked.h"
#include "formats/extent.h"
#include "formats/gguf_types.h"

namespace phial {
namespace {

constexpr uint32_t kOldestVersion = 2;
constexpr uint64_t kMaxTensorNameBytes = 255;
// A string of one byte, a type and a value of one byte.
constexpr uint64_t kMinPairBytes = (8 + 1) + 4 + 1;
// A string of one byte, n_dims, a type and an offset.
constexpr uint64_t kMinTensorBytes = (8 + 1) + 4 + 4 + 8;

std::string readable_types() {
  std::string text;
  for (const GgufTensorType& type : gguf_tensor_types()) {
    if (type.grid) text += (text.empty() ? "" : ", ") + std::string(type.name);
  }
  return text;
}

class Parser {
 public:
  Parser(std::span<const uint8_t> bytes, std::string_view name)
      : bytes_(bytes), reader_(bytes, name), budget_(ParseBudget::for_input(bytes.size())) {}

  Result<GgufContents> parse(bool metadata_only) {
    out_.metadata.file = reader_.name();
    PHIAL_TRY(read_header());
    PHIAL_TRY(read_pairs());
    if (!metadata_only) PHIAL_TRY(read_tensors());
    return std::move(out_);
  }

 private:
  using Value = GgufMetadata::Value;

  Error error(ErrorCode code, std::string_view message, std::string_view hint = {}) const {
    return make_error(code, reader_.name(), message, hint);
  }

  Status read_header() {
    PHIAL_ASSIGN(const auto magic, reader_.read_bytes(kGgufMagic.size(), "the magic"));
    if (std::memcmp(magic.data(), kGgufMagic.data(), kGgufMagic.size()) != 0) {
      return error(ErrorCode::damaged, "does not begin with \"GGUF\"");
    }
    PHIAL_ASSIGN(const uint32_t version, reader_.read<uint32_t>("the version"));
    if (version < kOldestVersion || version > kGgufVersion) return refuse_version(version);
    PHIAL_ASSIGN(n_tensors_, reader_.read<uint64_t>("the number of tensors"));
    PHIAL_ASSIGN(n_pairs_, reader_.read<uint64_t>("the number of key-value pairs"));
    PHIAL_TRY(check_count(n_tensors_, kMinTensorBytes, "tensors"));
    return check_count(n_pairs_, kMinPairBytes, "key-value pairs");
  }

  Error refuse_version(uint32_t version) const {
    if (version != 0 && (version & 0xFFFF) == 0) {
      return error(ErrorCode::unsupported,
                   "is a big-endian GGUF file; phial reads little-endian ones",
                   "convert it for little-endian machines");
    }
    return error(ErrorCode::unsupported,
                 "is GGUF version " + std::to_string(version) + "; phial reads versions 2 and 3",
                 version < kOldestVersion ? "convert the model again with a current tool" : "");
  }

  // Nothing is allocated for things that the rest of the file has no room for.
  Status check_count(uint64_t count, uint64_t min_bytes, const std::string& what) const {
    if (count > reader_.remaining() / min_bytes) {
      return reader_.damage("announces " + std::to_string(count) + " " + what + ", but only " +
                            std::to_string(reader_.remaining()) +
                            " bytes are left: the file is cut short or damaged");
    }
    return {};
  }

  Result<std::string_view> read_string(std::string_view what) {
    PHIAL_ASSIGN(const uint64_t length, reader_.read<uint64_t>(what));
    PHIAL_ASSIGN(const auto text, reader_.read_bytes(length, what));
    return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
  }

  Status read_pairs() {
    for (uint64_t i = 0; i < n_pairs_; ++i) {
      PHIAL_ASSIGN(const std::string_view key, read_string("the key of pair " + std::to_string(i)));
      if (key.empty() || key.size() > kMaxGgufKeyBytes) {
        return reader_.damage("the key of pair " + std::to_string(i) + " has " +
                              std::to_string(key.size()) + " bytes; 1 to 65535 are allowed");
      }
      // The entry, its place in the index and both copies of the key.
      PHIAL_TRY(budget_.charge(2 * (sizeof(GgufMetadata::Entry) + key.size()), reader_.name()));
      PHIAL_ASSIGN(Value value, read_value(key));
      PHIAL_TRY(out_.metadata.add(std::string(key), std::move(value)));
    }
    return {};
  }

  Result<Value> read_value(std::string_view key) {
    const std::string what = "the value of " + printable(key, kMaxErrorText / 2);
    PHIAL_ASSIGN(const GgufValueType type, read_value_type(what));
    const char* name = gguf_value_type_info(type).name;
    switch (type) {
      case GgufValueType::boolean: {
        PHIAL_ASSIGN(const int64_t value, read_integer(type, what));
        return Value{value != 0, name};
      }
      case GgufValueType::f32:
      case GgufValueType::f64: {
        PHIAL_ASSIGN(const double value, read_real(type, what));
        return Value{value, name};
      }
      case GgufValueType::string: {
        PHIAL_ASSIGN(const std::string_view value, read_string(what));
        return Value{value, name};
      }
      case GgufValueType::array:
        return read_array(what);
      default: {
        PHIAL_ASSIGN(const int64_t value, read_integer(type, what));
        return Value{value, name};
      }
    }
  }

  Result<GgufValueType> read_value_type(const std::string& what) {
    PHIAL_ASSIGN(const uint32_t id, reader_.read<uint32_t>(what));
    if (id >= gguf_value_types().size()) {
      return reader_.damage(what + " has the unknown type " + std::to_string(id));
    }
    return static_cast<GgufValueType>(id);
  }

  Result<Value> read_array(const std::string& what) {
    PHIAL_ASSIGN(const GgufValueType type, read_value_type(what));
    if (type == GgufValueType::array) {
      return error(ErrorCode::unsupported, what + " is an array of arrays");
    }
    PHIAL_ASSIGN(const uint64_t count, reader_.read<uint64_t>(what));
    PHIAL_TRY(check_count(count, gguf_value_type_info(type).min_bytes, "elements in " + what));
    const char* name = gguf_value_type_info(type).array_name;
    switch (type) {
      case GgufValueType::string:
        return read_elements<GgufMetadata::Strings>(count, name, [&] { return read_string(what); });
      case GgufValueType::f32:
      case GgufValueType::f64:
        return read_elements<GgufMetadata::Reals>(count, name,
                                                  [&] { return read_real(type, what); });
      default:
        return read_elements<GgufMetadata::Integers>(count, name,
                                                     [&] { return read_integer(type, what); });
    }
  }

  // REQUIRES: count has been checked against what is left of the file.
  template <class Vector, class Read>
  Result<Value> read_elements(uint64_t count, const char* type_name, Read read) {
    using Element = typename Vector::value_type;
    PHIAL_TRY(budget_.charge(count * sizeof(Element), reader_.name()));
    Vector elements;
    elements.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      PHIAL_ASSIGN(const auto element, read());
      elements.push_back(static_cast<Element>(element));
    }
    return Value{std::move(elements), type_name};
  }

  // REQUIRES: type is one of the integers or a bool
  Result<int64_t> read_integer(GgufValueType type, std::string_view what) {
    switch (type) {
      case GgufValueType::u8:
        return widened<uint8_t>(what);
      case GgufValueType::i8:
        return widened<int8_t>(what);
      case GgufValueType::u16:
        return widened<uint16_t>(what);
      case GgufValueType::i16:
        return widened<int16_t>(what);
      case GgufValueType::u32:
        return widened<uint32_t>(what);
      case GgufValueType::i32:
        return widened<int32_t>(what);
      case GgufValueType::u64:
        return widened<uint64_t>(what);
      case GgufValueType::i64:
        return widened<int64_t>(what);
      case GgufValueType::boolean: {
        PHIAL_ASSIGN(const int64_t value, widened<uint8_t>(what));
        if (value > 1) {
          return reader_.damage(std::string(what) + " is a bool with the value " +
                                std::to_string(value));
        }
        return value;
      }
      default:
        return internal_error(reader_.name(), "not an integer type");
    }
  }

  template <class T>
  Result<int64_t> widened(std::string_view what) {
    PHIAL_ASSIGN(const T value, reader_.read<T>(what));
    if (!std::in_range<int64_t>(value)) {
      return reader_.damage(std::string(what) +
                            " is larger than any size or id can be: " + std::to_string(value));
    }
    return static_cast<int64_t>(value);
  }

  Result<double> read_real(GgufValueType type, std::string_view what) {
    if (type == GgufValueType::f64) return reader_.read<double>(what);
    PHIAL_ASSIGN(const float value, reader_.read<float>(what));
    return static_cast<double>(value);
  }

  Result<uint64_t> alignment() const {
    PHIAL_ASSIGN(const auto bytes, out_.metadata.integer("general.alignment"));
    if (!bytes) return uint64_t{kGgufAlignment};
    if (*bytes <= 0 || *bytes > kMaxGgufAlignment || (*bytes & (*bytes - 1)) != 0) {
      return error(ErrorCode::damaged, "general.alignment is " + std::to_string(*bytes) +
                                           "; expected a power of two up to 65536");
    }
    return static_cast<uint64_t>(*bytes);
  }

  struct Extent {
    uint64_t offset;
    uint64_t bytes;
  };

  Status read_tensors() {
    PHIAL_ASSIGN(const uint64_t align, alignment());
    constexpr uint64_t kBytesPerTensor =
        sizeof(NamedTensor) + sizeof(Extent) + sizeof(std::string_view) * 4 + kMaxGgufDims * 8;
    PHIAL_TRY(budget_.charge(n_tensors_ * kBytesPerTensor, reader_.name()));
    std::vector<Extent> extents;
    std::unordered_set<std::string_view> names;
    out_.tensors.reserve(n_tensors_);
    extents.reserve(n_tensors_);
    names.reserve(n_tensors_);
    uint64_t next_offset = 0;
    for (uint64_t i = 0; i < n_tensors_; ++i) {
      PHIAL_ASSIGN(const std::string_view name,
                   read_string("the name of tensor " + std::to_string(i)));
      if (name.empty() || name.size() > kMaxTensorNameBytes) {
        return reader_.damage("the name of tensor " + std::to_string(i) + " has " +
                              std::to_string(name.size()) + " bytes; 1 to 255 are allowed");
      }
      const std::string what = "tensor \"" + std::string(name) + "\"";
      if (!names.insert(name).second) return reader_.damage(what + " occurs twice");
      PHIAL_TRY(budget_.charge(name.size() + reader_.name().size(), reader_.name()));
      NamedTensor tensor;
      tensor.name = name;
      PHIAL_ASSIGN(const Extent extent, read_tensor_info(what, tensor));
      if (extent.offset != next_offset) {
        return reader_.damage(what + " lies at offset " + std::to_string(extent.offset) +
                              "; expected " + std::to_string(next_offset) +
                              ", right behind the tensor before it");
      }
      const auto end = checked_add(extent.offset, extent.bytes);
      const auto padded_end = end ? checked_round_up(*end, align) : end;
      if (!padded_end) return reader_.damage(what + " ends beyond any file");
      next_offset = *padded_end;
      out_.tensors.push_back(std::move(tensor));
      extents.push_back(extent);
    }
    return place_tensors(align, extents);
  }

  // The rest of a tensor's entry: dims, type and offset.
  Result<Extent> read_tensor_info(const std::string& what, NamedTensor& tensor) {
    PHIAL_ASSIGN(const uint32_t n_dims, reader_.read<uint32_t>(what));
    if (n_dims > kMaxGgufDims) {
      return reader_.damage(what + " has " + std::to_string(n_dims) +
                            " dimensions; at most 4 are allowed");
    }
    for (uint32_t d = 0; d < n_dims; ++d) {
      PHIAL_ASSIGN(const uint64_t dim, reader_.read<uint64_t>(what));
      if (dim == 0 || dim > static_cast<uint64_t>(INT64_MAX)) {
        return reader_.damage(what + " has a dimension of " + std::to_string(dim));
      }
      tensor.view.shape.push_back(static_cast<int64_t>(dim));
    }
    std::reverse(tensor.view.shape.begin(), tensor.view.shape.end());
    PHIAL_ASSIGN(const uint32_t type_id, reader_.read<uint32_t>(what));
    const GgufTensorType* type = find_gguf_tensor_type(type_id);
    if (type == nullptr || !type->grid) {
      const std::string type_name =
          type != nullptr ? type->name : "type " + std::to_string(type_id);
      return error(ErrorCode::unsupported,
                   what + " is stored as " + type_name + "; phial reads " + readable_types());
    }
    tensor.dtype = type->name;
    tensor.view.grid = *type->grid;
    PHIAL_ASSIGN(const uint64_t offset, reader_.read<uint64_t>(what));
    const int64_t columns = n_dims == 0 ? 1 : tensor.view.shape.back();
    if (columns % grid_info(*type->grid).block_values != 0) {
      return reader_.damage(what + " has rows of " + std::to_string(columns) +
                            " values, which is no whole number of " + type->name + " blocks");
    }
    const auto bytes = extent_bytes(*type->grid, tensor.view.shape);
    if (!bytes) return reader_.damage(what + " is larger than any file: its dimensions overflow");
    return Extent{offset, *bytes};
  }

  Status place_tensors(uint64_t align, const std::vector<Extent>& extents) {
    // No overflow: position is at most the size of the mapping.
    const uint64_t data_begin = *checked_round_up(reader_.position(), align);
    const std::string file = file_name_of(reader_.name());
    for (size_t i = 0; i < extents.size(); ++i) {
      const auto begin = checked_add(data_begin, extents[i].offset);
      if (!begin || !range_fits(*begin, extents[i].bytes, bytes_.size())) {
        return error(ErrorCode::damaged, "cut short: tensor \"" + out_.tensors[i].name +
                                             "\" needs " + std::to_string(extents[i].bytes) +
                                             " bytes at offset " +
                                             std::to_string(extents[i].offset) +
                                             " of the data, but the file has only " +
                                             std::to_string(bytes_.size()) + " bytes");
      }
      out_.tensors[i].view.bytes = bytes_.subspan(*begin, extents[i].bytes);
      out_.tensors[i].file = file;
    }
    return {};
  }

  const std::span<const uint8_t> bytes_;
  ByteReader reader_;
  ParseBudget budget_;
  uint64_t n_tensors_ = 0;
  uint64_t n_pairs_ = 0;
  GgufContents out_;
};

}  // namespace

bool looks_like_gguf(std::span<const uint8_t> bytes) {
  return bytes.size() >= kGgufMagic.size() &&
         std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
}

Result<GgufContents> parse_gguf(std::span<const uint8_t> bytes, std::string_view name,
                                bool metadata_only) {
  return Parser(bytes, name).parse(metadata_only);
}

}  // namespace phial
