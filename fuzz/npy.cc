// .npy bytes: an array whose shape and data agree, or an error; what was read can be written again.
#include "base/npy.h"

#include "support/checks.h"
#include "support/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phial;
  const auto array = parse_npy({data, size}, "fuzz.npy");
  if (!array.ok()) {
    fuzz::check_error(array.error());
    return 0;
  }
  uint64_t count = 1;
  for (const uint64_t extent : array->shape) count *= extent;
  fuzz::require(count == array->values.size());
  std::string file = npy_header(array->shape);
  file.append(reinterpret_cast<const char*>(array->values.data()), count * sizeof(float));
  const auto again =
      parse_npy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "again.npy");
  fuzz::require(again.ok() && again->shape == array->shape);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return phial::fuzz::mutate_in_place(data, size, max_size, seed, phial::fuzz::mutate_npy);
}
