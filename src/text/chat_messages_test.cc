#include "text/chat_messages.h"

#include <gtest/gtest.h>

namespace phial {
namespace {

std::string prepared(std::string_view messages) {
  const Result<Json> out = prepare_messages(parse_json(messages, "test").value(), "messages");
  return out.ok() ? to_text(*out) : out.error().to_string();
}

// Each expectation is what apply_chat_template of transformers 5.23 hands to the template
// {{ messages | tojson(separators=(',', ':')) }}.
TEST(ChatMessages, AreThoseOfTransformers) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "[]"},
      {R"([{"role":"user","content":null,"x":[null]}])", R"([{"role":"user","x":[null]}])"},
      {R"([{"role":"a","reasoning":"r","content":"c"}])",
       R"([{"thinking":"r","role":"a","reasoning":"r","content":"c","reasoning_content":"r"}])"},
      {R"([{"role":"a","thinking":"t"}])",
       R"([{"thinking":"t","role":"a","reasoning_content":"t"}])"},
      {R"([{"role":"a","reasoning_content":"c","thinking":"t","reasoning":"r"}])",
       R"([{"thinking":"t","role":"a","reasoning_content":"c","reasoning":"r"}])"},
      {R"([{"reasoning":"r","thinking":"t","reasoning_content":null}])",
       R"([{"thinking":"t","reasoning":"r","reasoning_content":"t"}])"},
      {R"([{"reasoning_content":""}])", R"([{"thinking":"","reasoning_content":""}])"},
  };
  for (const auto& [given, expected] : cases) EXPECT_EQ(prepared(given), expected) << given;
}

TEST(ChatMessages, MustBeObjects) {
  const Result<Json> out = prepare_messages(parse_json(R"([{}, "x"])", "test").value(), "messages");
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().code, ErrorCode::invalid_input);
  EXPECT_EQ(out.error().where, "messages: [1]");
}

}  // namespace
}  // namespace phial
