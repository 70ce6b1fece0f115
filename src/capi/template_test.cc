// Chat templates through the C interface.
#include "base/json.h"
#include "capi/test_help.h"
#include "engine/golden_models.h"

namespace phial::capi {
namespace {

class Template : public testing::Test {
 protected:
  // Renders `source` with no model; the text, or the code of the error.
  std::string render(const std::string& source, const std::string& messages = "[]",
                     const std::string& variables = "", phial_model* model = nullptr) {
    phial_template_options options = PHIAL_TEMPLATE_OPTIONS_INIT;
    options.template_text = source.data();
    options.template_bytes = source.size();
    if (!variables.empty()) {
      options.variables_json = variables.data();
      options.variables_bytes = variables.size();
    }
    phial_buffer* prompt = nullptr;
    phial_error* error =
        phial_template_render(model, messages.data(), messages.size(), &options, &prompt);
    return error == nullptr ? take_text(prompt) : code_of(error);
  }

  ContextPtr context_ = make_context();
};

TEST_F(Template, PromptsAndTheirIdsAreTheGoldenOnes) {
  for (const char* name : {"llama-smol", "llama-tiny-sharded", "phi3-plain"}) {
    const ModelPtr model = load_golden_model(context_, name, PHIAL_LOAD_TEXT);
    const Json golden = must(parse_json(
        must(read_text(*disk_files(), golden_path(name) + "/golden.json", 1u << 20)), "golden"));
    ASSERT_FALSE(golden.find("templates")->if_array()->empty());
    for (const Json& item : *golden.find("templates")->if_array()) {
      const std::string messages = to_text(*item.find("messages"));
      phial_template_options options = PHIAL_TEMPLATE_OPTIONS_INIT;
      options.add_generation_prompt = *item.find("add_generation_prompt")->if_bool() ? 1 : 0;
      phial_buffer* buffer = nullptr;
      must_succeed(
          phial_template_render(model.get(), messages.data(), messages.size(), &options, &buffer));
      const std::string prompt = take_text(buffer);
      EXPECT_EQ(prompt, *item.find("prompt")->if_string()) << name;
      must_succeed(phial_tokenize(model.get(), prompt.data(), prompt.size(), 0, &buffer));
      EXPECT_EQ(take_ids(buffer), phial::ids_of(*item.find("ids"))) << name;
    }
  }
}

TEST_F(Template, ToolsAndDocumentsAreNoneWhenAbsent) {
  EXPECT_EQ(render("{{ tools is none }} {{ documents is none }}"), "True True");
  EXPECT_EQ(render("{{ add_generation_prompt }}"), "True");
}

TEST_F(Template, VariablesOfTheCallerWin) {
  const ModelPtr model = load_golden_model(context_, "llama-smol", PHIAL_LOAD_TEXT);
  const std::string source = "{{ bos_token }}{{ tools }}";
  EXPECT_EQ(render(source, "[]", "", model.get()), "<|im_start|>None");
  EXPECT_EQ(render(source, "[]", R"({"bos_token":"B","tools":"T"})", model.get()), "BT");
  EXPECT_EQ(render("{{ mine }}", "[]", R"({"mine":7})"), "7");
}

TEST_F(Template, DamagedJsonIsInvalidInput) {
  EXPECT_EQ(render("x", "[{"), "invalid_input");
  EXPECT_EQ(render("x", ""), "invalid_input");
  EXPECT_EQ(render("x", "{}"), "invalid_input");
  EXPECT_EQ(render("x", "[]", "[]"), "invalid_input");
  EXPECT_EQ(render("x", "[]", "{\"a\":1,\"a\":2}"), "invalid_input");
  phial_template_options options = PHIAL_TEMPLATE_OPTIONS_INIT;
  options.template_text = "x";
  options.template_bytes = 1;
  options.tools_json = "7";
  options.tools_bytes = 1;
  phial_buffer* prompt = nullptr;
  EXPECT_EQ(code_of(phial_template_render(nullptr, "[]", 2, &options, &prompt)), "invalid_input");
}

TEST_F(Template, ErrorsOfTheTemplateKeepTheirCodes) {
  EXPECT_EQ(render("{{ raise_exception('no') }}"), "template_error");
  EXPECT_EQ(render("{{ 1 / 0 }}"), "template_error");
  EXPECT_EQ(render("{% for %}"), "damaged");
  EXPECT_EQ(
      render("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"),
      "over_limit");
}

TEST_F(Template, AModelWithoutOneIsNotFound) {
  const ModelPtr model = load_golden_model(context_, "phi2", PHIAL_LOAD_TEXT);
  phial_buffer* prompt = nullptr;
  EXPECT_EQ(code_of(phial_template_render(model.get(), "[]", 2, nullptr, &prompt)), "not_found");
}

}  // namespace
}  // namespace phial::capi
