// Any bytes as a chat template: parsing and rendering end with a text or a named error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/chat_template.h"

namespace {

const phial::Json& variables() {
  static const phial::Json value = *phial::parse_json(
      R"({"messages": [{"role": "system", "content": "Be terse."},
                       {"role": "user", "content": [{"type": "text", "text": "h\u00e9llo <x>"}]},
                       {"role": "assistant", "content": null, "tool_calls":
                        [{"id": "a1", "function": {"name": "f", "arguments": {"x": 1.5, "y": [true]}}}]},
                       {"role": "tool", "content": "{}", "name": "f"}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
          "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 3})",
      "fuzz");
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const phial::TemplateLimits limits = {
      .fuel = 20'000, .max_output_bytes = 1 << 16, .max_depth = 32, .max_range = 1000};
  const auto compiled = phial::ChatTemplate::parse(source, "fuzz", limits);
  if (compiled.ok()) {
    const auto text = (*compiled)->render(variables(), 1721995200);
    if (!text.ok() && text.error().code == phial::ErrorCode::internal) __builtin_trap();
    if (text.ok() && text->size() > limits.max_output_bytes) __builtin_trap();
  }
  return 0;
}
