#include "base/npy.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/byte_reader.h"
#include "base/checked.h"

namespace phial {
namespace {

constexpr char kMagic[] = "\x93NUMPY";  // six bytes

// The text between `open` and `close` after `key` in a Python dict literal such as
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
std::optional<std::string_view> field_of(std::string_view header, std::string_view key, char open,
                                         char close) {
  size_t begin = header.find(key);
  if (begin == std::string_view::npos) return std::nullopt;
  begin = header.find_first_not_of(' ', begin + key.size());
  if (begin == std::string_view::npos || header[begin] != open) return std::nullopt;
  const size_t end = header.find(close, begin + 1);
  if (end == std::string_view::npos) return std::nullopt;
  return header.substr(begin + 1, end - begin - 1);
}

// The integers of "", "3," or "3, 4".
Result<std::vector<uint64_t>> parse_shape(std::string_view text, std::string_view name) {
  const Error not_a_tuple = damaged(name, "npy header: the shape is not a tuple of integers");
  std::vector<uint64_t> shape;
  size_t at = text.find_first_not_of(' ');
  while (at < text.size()) {
    uint64_t extent = 0;
    const auto [end, code] = std::from_chars(text.data() + at, text.data() + text.size(), extent);
    if (code == std::errc::result_out_of_range) {
      return damaged(name, "npy header: a dimension is too large");
    }
    if (code != std::errc()) return not_a_tuple;
    if (shape.size() == kMaxNpyAxes) {
      return unsupported(name, "npy array of more than " + std::to_string(kMaxNpyAxes) + " axes");
    }
    shape.push_back(extent);
    at = text.find_first_not_of(' ', static_cast<size_t>(end - text.data()));
    if (at < text.size() && text[at] != ',') return not_a_tuple;
    if (at < text.size()) at = text.find_first_not_of(' ', at + 1);
  }
  return shape;
}

}  // namespace

std::string npy_header(std::span<const uint64_t> shape) {
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) dict += ' ';
    dict += std::to_string(shape[i]);
    if (i == 0 || i + 1 < shape.size()) dict += ',';  // a tuple of one needs its comma
  }
  dict += "), }";
  constexpr size_t kPrefix = 10;  // magic, version, u16 length
  const size_t total = ceil_div<size_t>(kPrefix + dict.size() + 1, 64) * 64;
  dict.append(total - kPrefix - dict.size() - 1, ' ');
  dict += '\n';
  std::string out(kMagic, 6);
  out += '\x01';
  out += '\x00';
  out += static_cast<char>(dict.size() & 0xFF);
  out += static_cast<char>(dict.size() >> 8);
  return out + dict;
}

Result<NpyArray> parse_npy(std::span<const uint8_t> bytes, std::string_view name) {
  ByteReader reader(bytes, name);
  PHIAL_ASSIGN(const auto magic, reader.read_bytes(6, "the npy magic"));
  if (std::memcmp(magic.data(), kMagic, 6) != 0) return damaged(name, "not a .npy file");
  PHIAL_ASSIGN(const uint8_t major, reader.read<uint8_t>("the npy version"));
  PHIAL_TRY(reader.skip(1, "the npy version"));
  if (major < 1 || major > 3) {
    return unsupported(name, "npy format version " + std::to_string(major) + "; 1 to 3 are known");
  }
  uint32_t header_bytes = 0;
  if (major == 1) {
    PHIAL_ASSIGN(header_bytes, reader.read<uint16_t>("the npy header length"));
  } else {
    PHIAL_ASSIGN(header_bytes, reader.read<uint32_t>("the npy header length"));
  }
  PHIAL_ASSIGN(const auto raw, reader.read_bytes(header_bytes, "the npy header"));
  const std::string_view header(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (field_of(header, "'descr':", '\'', '\'') != "<f4") {
    return unsupported(name, "npy data type is not little-endian float32 ('<f4')");
  }
  if (header.find("'fortran_order': False") == std::string_view::npos) {
    return unsupported(name, "npy array is not in C order");
  }
  NpyArray out;
  const auto shape_text = field_of(header, "'shape':", '(', ')');
  if (!shape_text) return damaged(name, "npy header: no shape");
  PHIAL_ASSIGN(out.shape, parse_shape(*shape_text, name));
  uint64_t count = 1;
  for (const uint64_t extent : out.shape) {
    const auto product = checked_mul(count, extent);
    if (!product) return damaged(name, "npy header: the shape is too large");
    count = *product;
  }
  const auto data_bytes = checked_mul<uint64_t>(count, sizeof(float));
  if (!data_bytes || *data_bytes != reader.remaining()) {
    return damaged(name, "npy data does not have the size its shape asks for");
  }
  out.values.resize(count);
  if (count > 0) std::memcpy(out.values.data(), bytes.data() + reader.position(), *data_bytes);
  return out;
}

}  // namespace phial
