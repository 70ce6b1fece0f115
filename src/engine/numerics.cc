#include "engine/numerics.h"

#include <fmt/format.h>

#include <array>

namespace phial {
namespace {

// In the order of the enums.
constexpr std::array kComputeNames = {"fp32", "bf16", "int8"};
constexpr std::array kKvNames = {"f32", "f16", "bf16", "int8", "int4"};

template <class T, size_t kCount>
Result<T> named(const std::array<const char*, kCount>& names, const char* option,
                std::string_view name) {
  for (size_t i = 0; i < kCount; ++i) {
    if (name == names[i]) return static_cast<T>(i);
  }
  return usage_error(
      option, fmt::format("expected {}; got '{}'", fmt::join(names, "|"), printable(name, 40)));
}

}  // namespace

Result<Compute> compute_named(std::string_view name) {
  return named<Compute>(kComputeNames, "compute", name);
}

Result<KvType> kv_type_named(std::string_view name) { return named<KvType>(kKvNames, "kv", name); }

const char* compute_name(Compute compute) { return kComputeNames[static_cast<size_t>(compute)]; }

const char* kv_type_name(KvType kv) { return kKvNames[static_cast<size_t>(kv)]; }

}  // namespace phial
