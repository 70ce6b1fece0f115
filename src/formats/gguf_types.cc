#include "formats/gguf_types.h"

#include <array>

namespace phial {
namespace {

constexpr std::array<GgufValueTypeInfo, 13> kValueTypes = {{
    {"u8", "array of u8", 1},
    {"i8", "array of i8", 1},
    {"u16", "array of u16", 2},
    {"i16", "array of i16", 2},
    {"u32", "array of u32", 4},
    {"i32", "array of i32", 4},
    {"f32", "array of f32", 4},
    {"bool", "array of bool", 1},
    {"string", "array of string", 8},
    {"array", "array of array", 12},
    {"u64", "array of u64", 8},
    {"i64", "array of i64", 8},
    {"f64", "array of f64", 8},
}};

// enum ggml_type; 4, 5, 31-33 and 36-38 were given up. Q8_1 is for activations, no file holds it.
constexpr GgufTensorType kTensorTypes[] = {
    {0, "F32", Grid::f32},
    {1, "F16", Grid::f16},
    {2, "Q4_0", Grid::q4_0},
    {3, "Q4_1", Grid::q4_1},
    {6, "Q5_0", Grid::q5_0},
    {7, "Q5_1", Grid::q5_1},
    {8, "Q8_0", Grid::q8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", Grid::q2_k},
    {11, "Q3_K", Grid::q3_k},
    {12, "Q4_K", Grid::q4_k},
    {13, "Q5_K", Grid::q5_k},
    {14, "Q6_K", Grid::q6_k},
    {15, "Q8_K", Grid::q8_k},
    {16, "IQ2_XXS", Grid::iq2_xxs},
    {17, "IQ2_XS", Grid::iq2_xs},
    {18, "IQ3_XXS", Grid::iq3_xxs},
    {19, "IQ1_S", Grid::iq1_s},
    {20, "IQ4_NL", Grid::iq4_nl},
    {21, "IQ3_S", Grid::iq3_s},
    {22, "IQ2_S", Grid::iq2_s},
    {23, "IQ4_XS", Grid::iq4_xs},
    {24, "I8", Grid::i8},
    {25, "I16", Grid::i16},
    {26, "I32", Grid::i32},
    {27, "I64", Grid::i64},
    {28, "F64", Grid::f64},
    {29, "IQ1_M", Grid::iq1_m},
    {30, "BF16", Grid::bf16},
    {34, "TQ1_0", Grid::tq1_0},
    {35, "TQ2_0", Grid::tq2_0},
    {39, "MXFP4", Grid::mxfp4},
    {40, "NVFP4", {}},
    {41, "Q1_0", {}},
    {42, "Q2_0", {}},
};

}  // namespace

std::span<const GgufValueTypeInfo> gguf_value_types() { return kValueTypes; }

const GgufValueTypeInfo& gguf_value_type_info(GgufValueType type) {
  return kValueTypes[static_cast<size_t>(type)];
}

std::span<const GgufTensorType> gguf_tensor_types() { return kTensorTypes; }

const GgufTensorType* find_gguf_tensor_type(uint32_t id) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const GgufTensorType* find_gguf_tensor_type(Grid grid) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.grid == grid) return &type;
  }
  return nullptr;
}

}  // namespace phial
