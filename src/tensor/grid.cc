#include "tensor/grid.h"

#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "tensor/block_codebook.h"
#include "tensor/block_k.h"
#include "tensor/block_lattice.h"
#include "tensor/block_legacy.h"
#include "tensor/block_ternary.h"

namespace phial {
namespace {

// Both count in blocks.
using DecodeFn = void (*)(const uint8_t* codes, int64_t blocks, float* out);
using EncodeFn = void (*)(const float* values, int64_t blocks, uint8_t* codes);

struct Coder {
  DecodeFn decode;
  EncodeFn encode;  // null: none
};

// Plain numbers of type T; `widen` and `narrow` where that is no conversion of C++.
template <class T, float (*widen)(T)>
void decode_numbers(const uint8_t* codes, int64_t count, float* out) {
  // Runs of a fixed length, in copies that alias nothing, are what compilers make vectors of.
  constexpr int64_t kRun = 16;
  int64_t i = 0;
  for (; i + kRun <= count; i += kRun) {
    T numbers[kRun];
    float values[kRun];
    std::memcpy(numbers, codes + i * static_cast<int64_t>(sizeof(T)), sizeof(numbers));
    for (int64_t l = 0; l < kRun; ++l) values[l] = widen(numbers[l]);
    std::memcpy(out + i, values, sizeof(values));
  }
  for (; i < count; ++i) {
    out[i] = widen(load_number<T>(codes + i * static_cast<int64_t>(sizeof(T))));
  }
}
template <class T, T (*narrow)(float)>
void encode_numbers(const float* values, int64_t count, uint8_t* codes) {
  for (int64_t i = 0; i < count; ++i) {
    store_number<T>(narrow(values[i]), codes + i * static_cast<int64_t>(sizeof(T)));
  }
}
template <class T>
float to_f32(T value) {
  return static_cast<float>(value);
}
template <class T>
T from_f32(float value) {
  return static_cast<T>(value);
}

// bf16_to_f32 in a form that can be inlined: most sources are in bf16, and a call for each weight
// took a sixth of the time of a conversion.
float widen_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <class T, float (*widen)(T), T (*narrow)(float)>
constexpr Coder kNumbers = {decode_numbers<T, widen>, encode_numbers<T, narrow>};
template <class T>
constexpr Coder kIntegers = {decode_numbers<T, to_f32<T>>, nullptr};

struct Entry {
  GridInfo info;
  Coder coder;
};

constexpr Entry number(Grid grid, const char* name, int32_t bytes, Coder coder) {
  return {{grid, name, 1, bytes, false, true}, coder};
}
constexpr Entry integer(Grid grid, const char* name, int32_t bytes, Coder coder) {
  return {{grid, name, 1, bytes, true, false}, coder};
}
template <class Block>
constexpr Entry block(Grid grid, const char* name, int32_t values, DecodeFn decode,
                      EncodeFn encode) {
  return {{grid, name, values, sizeof(Block), false, true}, {decode, encode}};
}
template <class Block>
constexpr Entry decode_only(Grid grid, const char* name, int32_t values, DecodeFn decode) {
  return {{grid, name, values, sizeof(Block), false, false}, {decode, nullptr}};
}

constexpr int kLegacy = kLegacyBlockValues;
constexpr int kBook = kBookBlockValues;
constexpr int kSuper = kSuperblockValues;
static_assert(kSuper == kMaxBlockValues);

constexpr std::array<Entry, kGridCount> kGrids = {{
    number(Grid::f32, "f32", 4, kNumbers<float, to_f32<float>, from_f32<float>>),
    number(Grid::f64, "f64", 8, kNumbers<double, to_f32<double>, from_f32<double>>),
    number(Grid::f16, "f16", 2, kNumbers<uint16_t, f16_to_f32, f32_to_f16>),
    number(Grid::bf16, "bf16", 2, kNumbers<uint16_t, widen_bf16, f32_to_bf16>),
    number(Grid::f8_e4m3, "f8_e4m3", 1, kNumbers<uint8_t, f8_e4m3_to_f32, f32_to_f8_e4m3>),
    number(Grid::f8_e5m2, "f8_e5m2", 1, kNumbers<uint8_t, f8_e5m2_to_f32, f32_to_f8_e5m2>),
    block<BlockQ4_0>(Grid::q4_0, "q4_0", kLegacy, decode_q4_0, encode_q4_0),
    block<BlockQ4_1>(Grid::q4_1, "q4_1", kLegacy, decode_q4_1, encode_q4_1),
    block<BlockQ5_0>(Grid::q5_0, "q5_0", kLegacy, decode_q5_0, encode_q5_0),
    block<BlockQ5_1>(Grid::q5_1, "q5_1", kLegacy, decode_q5_1, encode_q5_1),
    block<BlockQ8_0>(Grid::q8_0, "q8_0", kLegacy, decode_q8_0, encode_q8_0),
    block<BlockQ2_K>(Grid::q2_k, "q2_k", kSuper, decode_q2_k, encode_q2_k),
    block<BlockQ3_K>(Grid::q3_k, "q3_k", kSuper, decode_q3_k, encode_q3_k),
    block<BlockQ4_K>(Grid::q4_k, "q4_k", kSuper, decode_q4_k, encode_q4_k),
    block<BlockQ5_K>(Grid::q5_k, "q5_k", kSuper, decode_q5_k, encode_q5_k),
    block<BlockQ6_K>(Grid::q6_k, "q6_k", kSuper, decode_q6_k, encode_q6_k),
    block<BlockQ8_K>(Grid::q8_k, "q8_k", kSuper, decode_q8_k, encode_q8_k),
    block<BlockIQ4_NL>(Grid::iq4_nl, "iq4_nl", kBook, decode_iq4_nl, encode_iq4_nl),
    block<BlockIQ4_XS>(Grid::iq4_xs, "iq4_xs", kSuper, decode_iq4_xs, encode_iq4_xs),
    block<BlockMXFP4>(Grid::mxfp4, "mxfp4", kBook, decode_mxfp4, encode_mxfp4),
    decode_only<BlockIQ1_S>(Grid::iq1_s, "iq1_s", kSuper, decode_iq1_s),
    decode_only<BlockIQ1_M>(Grid::iq1_m, "iq1_m", kSuper, decode_iq1_m),
    decode_only<BlockIQ2_XXS>(Grid::iq2_xxs, "iq2_xxs", kSuper, decode_iq2_xxs),
    decode_only<BlockIQ2_XS>(Grid::iq2_xs, "iq2_xs", kSuper, decode_iq2_xs),
    decode_only<BlockIQ2_S>(Grid::iq2_s, "iq2_s", kSuper, decode_iq2_s),
    decode_only<BlockIQ3_XXS>(Grid::iq3_xxs, "iq3_xxs", kSuper, decode_iq3_xxs),
    decode_only<BlockIQ3_S>(Grid::iq3_s, "iq3_s", kSuper, decode_iq3_s),
    block<BlockTQ1_0>(Grid::tq1_0, "tq1_0", kSuper, decode_tq1_0, encode_tq1_0),
    block<BlockTQ2_0>(Grid::tq2_0, "tq2_0", kSuper, decode_tq2_0, encode_tq2_0),
    integer(Grid::boolean, "bool", 1, kIntegers<uint8_t>),
    integer(Grid::i8, "i8", 1, kIntegers<int8_t>),
    integer(Grid::u8, "u8", 1, kIntegers<uint8_t>),
    integer(Grid::i16, "i16", 2, kIntegers<int16_t>),
    integer(Grid::u16, "u16", 2, kIntegers<uint16_t>),
    integer(Grid::i32, "i32", 4, kIntegers<int32_t>),
    integer(Grid::u32, "u32", 4, kIntegers<uint32_t>),
    integer(Grid::i64, "i64", 8, kIntegers<int64_t>),
    integer(Grid::u64, "u64", 8, kIntegers<uint64_t>),
}};

constexpr std::array<GridInfo, kGridCount> infos() {
  std::array<GridInfo, kGridCount> table = {};
  for (size_t i = 0; i < kGrids.size(); ++i) table[i] = kGrids[i].info;
  return table;
}
constexpr std::array<GridInfo, kGridCount> kInfos = infos();

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kInfos.size(); ++i) {
    if (static_cast<size_t>(kInfos[i].grid) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

}  // namespace

std::span<const GridInfo> grid_table() { return kInfos; }

const GridInfo& grid_info(Grid grid) { return kInfos[static_cast<size_t>(grid)]; }

int64_t row_bytes(Grid grid, int64_t columns) {
  const GridInfo& info = grid_info(grid);
  return columns / info.block_values * info.block_bytes;
}

void decode_row(Grid grid, const uint8_t* codes, int64_t values, float* out) {
  const Entry& entry = kGrids[static_cast<size_t>(grid)];
  entry.coder.decode(codes, values / entry.info.block_values, out);
}

Status encode_row(Grid grid, const float* values, int64_t count, uint8_t* codes) {
  const Entry& entry = kGrids[static_cast<size_t>(grid)];
  if (entry.coder.encode == nullptr) {
    return unsupported("grid",
                       std::string("phial reads ") + entry.info.name + " but does not write it");
  }
  entry.coder.encode(values, count / entry.info.block_values, codes);
  return {};
}

}  // namespace phial
