// phial template: the prompt that a chat template makes of messages.
#include "commands.h"
#include "input.h"
#include "output.h"

namespace phial_cli {
namespace {

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> model_path, messages_file, template_file, template_name, tools_file,
      variables_file;
  bool no_generation_prompt = false;
  parser.positional("MODEL", false, model_path);
  parser.heading("Template");
  parser.text("--messages", "FILE", messages_file, "a JSON array of messages; - for stdin");
  parser.text("--template", "FILE", template_file, "use this template; MODEL may then be left out");
  parser.text(
      "--name", "NAME", template_name,
      "which of MODEL's templates; without it \"tool_use\" if there are tools and MODEL has "
      "it, else \"default\"");
  parser.text("--tools", "FILE", tools_file, "a JSON array of tool definitions");
  parser.text("--vars", "FILE", variables_file,
              "a JSON object of more variables, which win over all others");
  parser.flag("--no-generation-prompt", no_generation_prompt,
              "leave out what begins the assistant's answer");
  common.declare(parser, Work::text);
  parser.remark(
      "The prompt is printed byte for byte: no newline is added. MODEL needs no weights; a folder "
      "with tokenizer files will do.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (!messages_file) fail_usage("template", "--messages FILE is missing");
  if (!model_path && !template_file) {
    fail_usage("template", "neither MODEL nor --template FILE is given");
  }
  if (template_name && template_file) {
    fail_usage("--name", "does not go with --template", "it names a template of MODEL");
  }
  phial::TemplateOptions options;
  options.add_generation_prompt = !no_generation_prompt;
  // An input that is there but empty is damaged JSON, not an input that is left out.
  const auto read_json = [](const std::string& path) {
    std::string text = read_input(path);
    return text.empty() ? std::string(" ") : text;
  };
  if (template_file) {
    options.template_text = read_input(*template_file);
    options.has_template = true;
  }
  options.template_name = template_name.value_or("");
  if (tools_file) options.tools_json = read_json(*tools_file);
  if (variables_file) options.variables_json = read_json(*variables_file);
  const std::string messages = read_input(*messages_file);

  const std::vector<PlayedBy> names = {{"messages", input_name(*messages_file)},
                                       {"template", input_name(template_file.value_or(""))},
                                       {"tools", input_name(tools_file.value_or(""))},
                                       {"variables", input_name(variables_file.value_or(""))}};
  const std::string prompt = naming(names, [&] {
    if (!model_path) return phial::render_template(messages, options);
    const phial::Context context = make_context(common, Work::text);
    const phial::Model model(context, *model_path, PHIAL_LOAD_TEXT);
    return model.render(messages, options);
  });
  if (common.json) {
    write_json({{"prompt", prompt}});
  } else {
    write_stdout(prompt);
  }
  return 0;
}

}  // namespace

const Command kTemplateCommand = {
    "template", "the prompt that a chat template makes of messages",
    "[MODEL] --messages FILE [options]",
    "  echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | phial template smollm2.gguf --messages -\n"
    "  phial template --template chat.jinja --messages talk.json --vars vars.json\n"
    "  phial template models/Phi-3 --messages talk.json --tools tools.json\n",
    run};

}  // namespace phial_cli
