// JSON text: any bytes give a value or an error; a value survives being written and read again.
#include "base/json.h"

#include "support/checks.h"
#include "support/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phial;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = parse_json(text, "fuzz.json");
  if (!value.ok()) {
    fuzz::check_error(value.error());
    return 0;
  }
  const auto again = parse_json(to_text(*value), "again.json");
  fuzz::require(again.ok() && *again == *value);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace phial::fuzz;
  static constexpr const char* kWords[] = {
      "null",    "true",    "1e400", "-0.0",
      "\\ud800", "\\u0000", "1e-5,", "[",
      "}",       "\\\"",    "0x1",   "\xEF\xBB\xBF",
      "NaN",     "//",      "1.",    "123456789012345678901234"};
  return mutate_in_place(data, size, max_size, seed, [](const std::string& input, Choice& choice) {
    return choice.one_in(2) ? mutate_json(input, kWords, choice)
                            : mutate_bytes(input, kWords, choice);
  });
}
