// The numbers of a GGUF file: what its reader and its writer share (ggml docs/gguf.md, ggml.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tensor/grid.h"

namespace phial {

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr uint32_t kGgufVersion = 3;
inline constexpr uint64_t kMaxGgufKeyBytes = 65535;
inline constexpr uint32_t kMaxGgufDims = 4;
inline constexpr uint32_t kGgufAlignment = 32;  // unless general.alignment says otherwise
inline constexpr uint32_t kMaxGgufAlignment = 64 * 1024;

// Of values of key-value pairs: the enum's numbers stand in the file.
enum class GgufValueType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

struct GgufValueTypeInfo {
  const char* name;
  const char* array_name;
  uint64_t min_bytes;  // in the file
};
std::span<const GgufValueTypeInfo> gguf_value_types();  // in the order of the enum
const GgufValueTypeInfo& gguf_value_type_info(GgufValueType type);

struct GgufTensorType {
  uint32_t id;  // enum ggml_type
  const char* name;
  std::optional<Grid> grid;  // nothing: known by name only
};
std::span<const GgufTensorType> gguf_tensor_types();
// Null when there is none.
const GgufTensorType* find_gguf_tensor_type(uint32_t id);
const GgufTensorType* find_gguf_tensor_type(Grid grid);

}  // namespace phial
