// .npy bytes: an array whose shape and data agree, or an error; what was read can be written again.
#include "base/npy.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto array = phial::parse_npy({data, size}, "fuzz.npy");
  if (!array.ok()) return 0;
  uint64_t count = 1;
  for (const uint64_t extent : array->shape) count *= extent;
  if (count != array->values.size()) __builtin_trap();
  std::string file = phial::npy_header(array->shape);
  file.append(reinterpret_cast<const char*>(array->values.data()), count * sizeof(float));
  const auto again =
      phial::parse_npy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "again.npy");
  if (!again.ok() || again->shape != array->shape) __builtin_trap();
  return 0;
}
