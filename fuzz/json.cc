// JSON text: any bytes give a value or an error; a value survives being written and read again.
#include "base/json.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = phial::parse_json(text, "fuzz.json");
  if (!value.ok()) return 0;
  const auto again = phial::parse_json(phial::to_text(*value), "again.json");
  if (!again.ok() || !(*again == *value)) __builtin_trap();
  return 0;
}
