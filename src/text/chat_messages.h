// What Hugging Face transformers does to messages before a template sees them.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace phial {

// As apply_chat_template of transformers 5.23 does it. Members of a message that are null are left
// out: programs write `"content": null` beside tool calls, and templates print it. Reasoning, which
// is called reasoning_content, thinking or reasoning (the first that is there counts), becomes
// reasoning_content, and thinking too unless the message has that.
// invalid_input, naming `name` and the place, when a message is no object.
// REQUIRES: messages is an array
Result<Json> prepare_messages(const Json& messages, std::string_view name);

}  // namespace phial
