// How precisely an engine computes and keeps what it has read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "kernels/kv_head.h"

namespace phial {

// What products with weights are made of. fp32: nothing is rounded below float32.
enum class Compute : uint8_t {
  fp32,
  // In passes over many rows, inputs and weights of products as bfloat16 and sums in float32, where
  // the processor has an instruction for that and the weights are not plain numbers of more bits;
  // else as fp32.
  bf16,
  // Inputs of products as int8 with a scale per group of columns, sums in int32 and float32, where
  // weights are integers; else as bf16.
  int8,
};

struct Numerics {
  Compute compute = Compute::fp32;
  KvType kv = KvType::f32;
};

// What is asked for; the rest is chosen for the model (choose_numerics).
struct NumericsRequest {
  std::optional<Compute> compute;
  std::optional<KvType> kv;
};

// By the names above; usage for others, with the names there are.
Result<Compute> compute_named(std::string_view name);
Result<KvType> kv_type_named(std::string_view name);
const char* compute_name(Compute compute);
const char* kv_type_name(KvType kv);

}  // namespace phial
