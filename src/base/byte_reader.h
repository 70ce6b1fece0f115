// A bounded little-endian reader. Every read checks what is left; nothing is read past the end.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/status.h"

namespace phial {

static_assert(std::endian::native == std::endian::little, "phial runs on little-endian machines");

class ByteReader {
 public:
  // `name` says in errors which file this is; it and the bytes must outlive the reader.
  ByteReader(std::span<const uint8_t> bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  std::string_view name() const { return name_; }

  // A number, stored unaligned in little-endian order. damaged when fewer bytes are left. Not for
  // bool, of which most bytes are no value: read a uint8_t.
  template <class T>
  requires std::is_arithmetic_v<T> Result<T> read(std::string_view what) {
    static_assert(!std::is_same_v<T, bool>);
    PHIAL_ASSIGN(const uint8_t* at, take(sizeof(T), what));
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
  }

  // A view of the next `n` bytes, valid as long as the input.
  Result<std::span<const uint8_t>> read_bytes(uint64_t n, std::string_view what) {
    PHIAL_ASSIGN(const uint8_t* at, take(n, what));
    return std::span<const uint8_t>(at, n);
  }

  Status skip(uint64_t n, std::string_view what) {
    Result<const uint8_t*> at = take(n, what);
    if (!at.ok()) return std::move(at).error();
    return {};
  }

  // An error of the kind `damaged` at the present position.
  Error damage(std::string_view message) const {
    return damaged(std::string(name_) + ": byte " + std::to_string(position_), message);
  }

 private:
  Result<const uint8_t*> take(uint64_t n, std::string_view what) {
    if (n > remaining()) {
      return damage("file ends inside " + std::string(what) + ": " + std::to_string(n) +
                    " bytes needed, " + std::to_string(remaining()) + " left");
    }
    const uint8_t* at = bytes_.data() + position_;
    position_ += n;
    return at;
  }

  std::span<const uint8_t> bytes_;
  std::string_view name_;
  uint64_t position_ = 0;
};

}  // namespace phial
