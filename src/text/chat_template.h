// Chat templates: the Jinja dialect of Hugging Face's tokenizers, rendered as Python's jinja2 does
// in their environment (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, autoescape off,
// loop controls, generation blocks, tojson without HTML escapes, raise_exception, strftime_now).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace phial {

// What one rendering may use; running out is over_limit.
struct TemplateLimits {
  uint64_t fuel = 1'000'000;             // evaluation steps
  uint64_t max_output_bytes = 8u << 20;  // of the result, and of any string built on the way
  int max_depth = 128;                   // of expressions, blocks, macro calls and values
  uint64_t max_range = 100'000;          // elements of range()
};

// Immutable after parse(); safe to use from several threads at once.
class ChatTemplate {
 public:
  // damaged, with line number, for a syntax error; unsupported for a construct that phial lacks.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string_view source,
                                                           std::string_view name,
                                                           const TemplateLimits& limits = {});
  ~ChatTemplate();

  // Renders with the members of `variables` (an object: messages, add_generation_prompt, bos_token,
  // tools ...). `now` is seconds since 1970 (local time) for strftime_now.
  // template_error: raise_exception and everything that raises in jinja2 (a type error, an
  // undefined value used, division by zero), with the line number; over_limit: fuel, depth or
  // output.
  Result<std::string> render(const Json& variables, int64_t now_unix_seconds) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace phial
