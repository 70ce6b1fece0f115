#include "text/chat_messages.h"

#include <string>
#include <utility>

namespace phial {
namespace {

// The first of the names that the object has; null when it has none.
const Json* find_reasoning(const Json& message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (const Json* value = message.find(name)) return value;
  }
  return nullptr;
}

// The order of members is visible to templates: thinking comes first, reasoning_content keeps its
// place or comes last.
Json with_reasoning(const Json& message, const Json& reasoning) {
  const Json* thinking = message.find("thinking");
  Json::Object out = {{"thinking", thinking != nullptr ? *thinking : reasoning}};
  bool placed = false;
  for (const auto& [key, value] : *message.if_object()) {
    if (key == "thinking") continue;
    const bool content = key == "reasoning_content";
    placed = placed || content;
    out.emplace_back(key, content ? reasoning : value);
  }
  if (!placed) out.emplace_back("reasoning_content", reasoning);
  return Json(std::move(out));
}

}  // namespace

Result<Json> prepare_messages(const Json& messages, std::string_view name) {
  Json::Array out;
  for (const Json& message : *messages.if_array()) {
    const Json::Object* members = message.if_object();
    if (members == nullptr) {
      return invalid_input(
          std::string(name) + ": [" + std::to_string(out.size()) + "]",
          std::string("expected an object with role and content, got ") + message.kind_name());
    }
    Json::Object kept;
    for (const auto& [key, value] : *members) {
      if (!value.is_null()) kept.emplace_back(key, value);
    }
    Json plain(std::move(kept));
    const Json* reasoning = find_reasoning(plain);
    out.push_back(reasoning == nullptr ? std::move(plain) : with_reasoning(plain, *reasoning));
  }
  return Json(std::move(out));
}

}  // namespace phial
