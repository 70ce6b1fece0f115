#include "commands.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "input.h"
#include "output.h"

namespace phial_cli {

std::span<const Command* const> commands() {
  static constexpr std::array kCommands = {
      &kRunCommand,      &kChatCommand,    &kInfoCommand,          &kTokenizeCommand,
      &kTemplateCommand, &kLogitsCommand,  &kPerplexityCommand,    &kCompareCommand,
      &kQuantizeCommand, &kConvertCommand, &kLlamaQuantizeCommand, &kMlxConvertCommand,
      &kBenchCommand,    &kDoctorCommand,  &kCompletionCommand,    &kManCommand};
  return kCommands;
}

CommandLine table_of(const Command& command) {
  try {
    command.run(command, {kTableArgument});
  } catch (const TableRequest& request) {
    return request.table;
  }
  throw phial::Error("internal", command.name, "has no option table", "please report it");
}

void CommonOptions::declare(CommandLine& line, Work work) {
  constexpr int64_t kMaxThreads = 1024;
  line.heading("Everywhere");
  line.flag("--json", json, "one JSON object on stdout, errors too");
  line.flag("--quiet", quiet, "nothing on stderr but errors");
  line.integer("--threads", "N", threads, 1, kMaxThreads,
               "compute threads, 1..1024 (default: one per core)");
  line.text("--isa", "NAME", isa,
            work == Work::text ? ""
                               : "instruction set: avx512, avxvnni, avx2; i8mm, dotprod, neon; "
                                 "reference (default: $PHIAL_ISA, else the best here)");
  line.bytes("--max-memory", "SIZE", max_memory,
             work != Work::compute
                 ? ""
                 : "most memory for computing, such as 4G (GB, GiB: the same) or 1.5G: what does "
                   "not fit is refused before it is begun, and contexts are chosen to fit (mapped "
                   "weights do not count; default: no limit)");
}

phial::Context make_context(const CommonOptions& common, Work work) {
  const int64_t unset = work == Work::text ? 1 : 0;
  return naming({{"isa", "--isa"}}, [&] {
    return phial::Context(static_cast<int32_t>(common.threads.value_or(unset)),
                          common.isa.value_or(""), common.max_memory.value_or(0));
  });
}

int64_t model_context(const phial::Model& model) {
  const Json info = Json::parse(model.info_json());
  return info["context_length"].is_number() ? info["context_length"].get<int64_t>() : 0;
}

namespace {

// Whether there is memory for `count` sequences of `context` tokens, and one of the assistant.
bool has_room(const phial::Model& model, const std::optional<phial::Model>& assistant,
              int64_t context, int64_t count) {
  try {
    std::vector<phial::Sequence> sequences;
    for (int64_t i = 0; i < count; ++i) sequences.emplace_back(model, context);
    if (assistant) {
      const phial::Sequence drafts(*assistant, std::min(context, model_context(*assistant)));
    }
    return true;
  } catch (const phial::Error& error) {
    if (std::string_view(error.code()) != "over_limit") throw;
    return false;
  }
}

}  // namespace

int64_t choose_context(const CommonOptions& common, const phial::Model& model,
                       std::optional<int64_t> given, std::optional<int64_t> tokens,
                       const std::optional<phial::Model>& assistant, int64_t sequences) {
  if (given) return *given;
  if (!common.max_memory) return 0;
  const int64_t longest = model_context(model);
  if (tokens) return std::min(*tokens, longest);
  int64_t fits = 0, too_long = longest + 1;
  while (too_long - fits > 1) {
    const int64_t middle = fits + (too_long - fits) / 2;
    (has_room(model, assistant, middle, sequences) ? fits : too_long) = middle;
  }
  if (fits > 0 && fits < longest) {
    notice(common, fmt::format("note: the context is {} tokens of the model's {}: --max-memory has "
                               "no room for more",
                               grouped(fits), grouped(longest)));
  }
  return fits;
}

phial::Sequence make_sequence(const phial::Model& model, int64_t context) {
  return naming({kContextOption}, [&] { return phial::Sequence(model, context); });
}

void NumericsOptions::declare_numerics(CommandLine& line, const std::string& suffix,
                                       const std::string& what, const std::string& default_value) {
  const bool exact = purpose == Purpose::measurements;
  const auto usual = [&default_value](const char* unless_told) {
    return default_value.empty() ? unless_told : default_value.c_str();
  };
  line.choice(
      "--compute" + suffix, {{"fp32", true, "f32"}, {"bf16", true, "", "f16 fp16"}, {"int8", true}},
      compute,
      fmt::format("precision of products{}: fp32; bf16 in prompts; int8 inputs of packed weights "
                  "(default: {})",
                  what, usual(exact ? "fp32" : "int8 where weights are integers, else fp32")));
  line.choice("--kv" + suffix,
              {{"f32", true, "fp32"},
               {"f16", true, "fp16"},
               {"bf16", true},
               {"int8", true, "", "q8_0"},
               {"int4", true, "", "q4_0"}},
              kv,
              fmt::format("precision of the key-value cache{} (default: {})", what,
                          usual(exact ? "f32" : "f32 with fp32, f16 with bf16, int8 with int8")));
}

void EngineOptions::declare(CommandLine& line) {
  line.heading("Engine");
  line.integer("--context", "N", context, 1, INT64_MAX,
               "most tokens, prompt and answer together (default: the model's)");
  declare_numerics(line);
  line.choice("--device",
              {{"cpu", true}, {"cuda", false}, {"onnxruntime", false}, {"openvino", false}},
              "where to compute: cpu");
  line.planned({"--adapter"});
}

phial_model_options NumericsOptions::model_options() const {
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  const bool exact = purpose == Purpose::measurements;
  options.compute = compute ? compute->c_str() : exact ? "fp32" : nullptr;
  options.kv = kv ? kv->c_str() : exact ? "f32" : nullptr;
  return options;
}

void declare_assistant(CommandLine& line, std::optional<std::string>& path) {
  line.text("--assistant-model", "MODEL", path,
            "a smaller model of the same vocabulary that drafts tokens; the answer stays the same");
}

std::optional<phial::Model> load_assistant(const phial::Context& context,
                                           const CommonOptions& common,
                                           const std::optional<std::string>& path) {
  if (!path) return std::nullopt;
  return load_model(context, common, *path);
}

void notice(const CommonOptions& common, const std::string& text) {
  if (!common.quiet) write_stderr(text);
}

namespace {

bool stdin_open = true;

}  // namespace

bool stdin_was_open() { return stdin_open; }
void set_stdin_was_open(bool open) { stdin_open = open; }

std::optional<std::string> text_argument(const std::optional<std::string>& argument,
                                         const std::string& name) {
  std::string text;
  std::string where = name;
  if (argument && *argument != "-") {
    text = *argument;
  } else {
    // Nobody who leaves the text out wants to be waited for at a terminal.
    if (!stdin_open || (!argument && isatty(STDIN_FILENO) == 1)) return std::nullopt;
    where = "stdin";
    text = read_input("-");
  }
  phial::check_text(text, where);
  return text;
}

}  // namespace phial_cli
