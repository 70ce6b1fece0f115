// Plain numbers that files store and C++ has no type for. Widening is exact; narrowing rounds to
// nearest, ties to even.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace phial {

// IEEE 754 binary16 and bfloat16.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);

// The two 8-bit floats of OFP8 (Open Compute Project, 2023): e4m3 has no infinity, 0x7f and 0xff
// are NaN and 448 is the largest number; e5m2 is laid out like the upper half of binary16. Beyond
// the range narrowing gives NaN and infinity, as PyTorch does.
extern const std::array<float, 256> kF8E4m3Values;
inline float f8_e4m3_to_f32(uint8_t bits) { return kF8E4m3Values[bits]; }
uint8_t f32_to_f8_e4m3(float value);
float f8_e5m2_to_f32(uint8_t bits);
uint8_t f32_to_f8_e5m2(float value);

// E8M0 of the OCP Microscaling formats: 2^(bits - 127), NaN for 255.
float e8m0_to_f32(uint8_t bits);

// A little-endian number at any address.
template <class T>
requires std::is_arithmetic_v<T> T load_number(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}
template <class T>
requires std::is_arithmetic_v<T>
void store_number(T value, uint8_t* bytes) { std::memcpy(bytes, &value, sizeof(value)); }

}  // namespace phial
