// Chat templates by name, from every place that holds them.
#include <gtest/gtest.h>

#include "model/model.h"

namespace phial {
namespace {

using Names = std::vector<std::pair<std::string, std::string>>;

Names names_of(const Checkpoint& checkpoint) {
  const auto templates = chat_templates(checkpoint);
  if (!templates.ok()) return {{"error", templates.error().to_string()}};
  Names out;
  for (const NamedTemplate& each : *templates) out.emplace_back(each.name, each.source);
  return out;
}

Checkpoint read_text(const MemoryFiles& files) {
  auto checkpoint = read_checkpoint(files, "m", {.text_only = true});
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  return checkpoint.ok() ? std::move(*checkpoint) : Checkpoint();
}

TEST(ChatTemplates, OfTokenizerConfig) {
  MemoryFiles files;
  files.put("m/tokenizer_config.json", R"({"chat_template":"one"})");
  EXPECT_EQ(names_of(read_text(files)), (Names{{"default", "one"}}));
  files.put("m/tokenizer_config.json",
            R"({"chat_template":[{"name":"default","template":"d"},
                                 {"name":"tool_use","template":"t"}]})");
  EXPECT_EQ(names_of(read_text(files)), (Names{{"default", "d"}, {"tool_use", "t"}}));
  for (const char* none :
       {"{}", R"({"chat_template":null})", R"({"chat_template":""})", R"({"chat_template":[]})"}) {
    files.put("m/tokenizer_config.json", none);
    EXPECT_EQ(names_of(read_text(files)), Names()) << none;
  }
  for (const char* damaged : {R"({"chat_template":1})", R"({"chat_template":[{"name":"x"}]})",
                              R"({"chat_template":["x"]})"}) {
    files.put("m/tokenizer_config.json", damaged);
    EXPECT_EQ(chat_templates(read_text(files)).error().code, ErrorCode::damaged) << damaged;
  }
}

TEST(ChatTemplates, FilesWinOverTokenizerConfig) {
  MemoryFiles files;
  files.put(
      "m/tokenizer_config.json",
      R"({"chat_template":[{"name":"default","template":"d"},{"name":"rag","template":"r"}]})");
  files.put("m/additional_chat_templates/tool_use.jinja", "t");
  files.put("m/additional_chat_templates/notes.txt", "n");
  EXPECT_EQ(names_of(read_text(files)), (Names{{"tool_use", "t"}}));
  files.put("m/chat_template.jinja", "file");
  EXPECT_EQ(names_of(read_text(files)), (Names{{"default", "file"}, {"tool_use", "t"}}));
}

TEST(ChatTemplates, OfGguf) {
  Checkpoint checkpoint;
  checkpoint.format = Checkpoint::Format::gguf;
  const auto add = [&](const char* key, std::string_view text) {
    ASSERT_TRUE(checkpoint.gguf.add(key, {text, "string"}).ok());
  };
  EXPECT_EQ(names_of(checkpoint), Names());
  add("tokenizer.chat_template.tool_use", "t");
  add("tokenizer.chat_template", "d");
  add("tokenizer.chat_templates_of_others", "x");
  EXPECT_EQ(names_of(checkpoint), (Names{{"tool_use", "t"}, {"default", "d"}}));
}

TEST(ChatTemplates, AreChosenAsInTransformers) {
  const std::vector<NamedTemplate> both = {{"default", "d"}, {"tool_use", "t"}, {"rag", "r"}};
  EXPECT_EQ(choose_chat_template(both, "", false)->source, "d");
  EXPECT_EQ(choose_chat_template(both, "", true)->source, "t");
  EXPECT_EQ(choose_chat_template(both, "default", true)->source, "d");
  EXPECT_EQ(choose_chat_template(both, "rag", false)->source, "r");
  const std::vector<NamedTemplate> one = {{"default", "d"}};
  EXPECT_EQ(choose_chat_template(one, "", true)->source, "d");
  const auto unknown = choose_chat_template(both, "tools", false);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_EQ(unknown.error().hint, "it has: default, tool_use, rag");
  const std::vector<NamedTemplate> no_default = {{"a", "1"}, {"b", "2"}};
  EXPECT_EQ(choose_chat_template(no_default, "", true).error().code, ErrorCode::not_found);
  EXPECT_EQ(choose_chat_template(no_default, "b", true)->source, "2");
}

}  // namespace
}  // namespace phial
