// Any bytes as a safetensors file.
#include "formats/safetensors.h"

#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = phial::parse_safetensors({data, size}, "fuzz.safetensors");
  tensors.ok() ? phial::fuzz::touch(*tensors) : phial::fuzz::check_error(tensors.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace phial::fuzz;
  return mutate_in_place(data, size, max_size, seed, [](const std::string& input, Choice& choice) {
    return mutate_safetensors(input, kSafetensorsWords, choice);
  });
}
