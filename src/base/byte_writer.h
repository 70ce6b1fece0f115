// Numbers into bytes, unaligned and in little-endian order: what ByteReader reads.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/byte_reader.h"

namespace phial {

template <class T>
requires std::is_arithmetic_v<T>
void append_number(std::vector<uint8_t>& bytes, T number) {
  const auto* raw = reinterpret_cast<const uint8_t*>(&number);
  bytes.insert(bytes.end(), raw, raw + sizeof(number));
}

}  // namespace phial
