// A bundle (support/mutate.h) of messages, tools and variables, all JSON, rendered by a template
// that looks into every part of them, through the C interface.
#include <cstring>

#include "phial/phial.h"
#include "support/checks.h"
#include "support/mutate.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 3;
constexpr const char* kWords[] = {"role",
                                  "content",
                                  "system",
                                  "user",
                                  "assistant",
                                  "tool",
                                  "type",
                                  "text",
                                  "image_url",
                                  "tool_calls",
                                  "function",
                                  "name",
                                  "arguments",
                                  "parameters",
                                  "properties",
                                  "id",
                                  "bos_token",
                                  "messages",
                                  "add_generation_prompt",
                                  "tools",
                                  "documents",
                                  "__class__",
                                  "enable_thinking"};
constexpr char kTemplate[] =
    "{{ bos_token }}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content | trim }}"
    "{% else %}{% for part in m.content %}{{ part.type ~ part['text'] }}{% endfor %}{% endif %}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }}"
    "{{ call.function.arguments | tojson }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  std::string& file = files[choice.one_in(2) ? 0 : choice.below(kFiles)];
  file = fuzz::mutate_json(file, kWords, choice);
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<std::string> files = fuzz::split_bundle({data, size}, kFiles);
  phial_template_options options = PHIAL_TEMPLATE_OPTIONS_INIT;
  options.template_text = kTemplate;
  options.template_bytes = sizeof(kTemplate) - 1;
  if (!files[1].empty()) {
    options.tools_json = files[1].data();
    options.tools_bytes = files[1].size();
  }
  if (!files[2].empty()) {
    options.variables_json = files[2].data();
    options.variables_bytes = files[2].size();
  }
  phial_buffer* prompt = nullptr;
  phial_error* error =
      phial_template_render(nullptr, files[0].data(), files[0].size(), &options, &prompt);
  if (error != nullptr) {
    fuzz::require(std::strcmp(phial_error_code(error), "internal") != 0);
    fuzz::require(std::strlen(phial_error_text(error)) <= kMaxErrorText);
    phial_error_free(error);
  }
  phial_buffer_free(prompt);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
