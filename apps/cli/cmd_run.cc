// phial run: one prompt, one answer or several.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "commands.h"
#include "generation_flags.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "progress.h"
#include "reading.h"

namespace phial_cli {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct RunOptions {
  CommonOptions common;
  EngineOptions engine;
  std::optional<std::string> model_path;
  std::optional<std::string> prompt;
  std::optional<std::string> system;
  std::optional<std::string> messages_file;
  std::optional<std::string> prompt_ids_file;
  std::optional<std::string> assistant_model;
  bool raw = false;
  GenerationFlags generation;

  void declare(CommandLine& line);
  void check() const;
  // Of a prompt of `prompt_tokens` and its answer, when --max-new-tokens says how long that is.
  std::optional<int64_t> tokens(int64_t prompt_tokens) const;
};

void RunOptions::declare(CommandLine& line) {
  line.positional("MODEL", true, model_path);
  line.positional("PROMPT", false, prompt);
  line.heading("Prompt");
  line.text("--system", "TEXT", system, "a system message in front");
  line.text("--messages", "FILE", messages_file,
            "a JSON array of messages in place of PROMPT; - for stdin");
  line.text("--prompt-ids", "FILE", prompt_ids_file,
            "a JSON array of token ids in place of PROMPT; - for stdin");
  line.flag("--raw", raw, "no chat template: the text as it is, with the tokenizer's own tokens");
  generation.declare(line);
  declare_assistant(line, assistant_model);
  engine.declare(line);
  common.declare(line);
  generation.remarks(line);
  line.remark(
      "PROMPT goes through the model's chat template. A model without one gets the text as it is, "
      "as with --raw, and a note says so. Without PROMPT, or with -, the prompt is read from "
      "stdin. "
      "Ctrl-C stops and keeps the answer so far (exit code 130).");
}

void RunOptions::check() const {
  const int sources = (prompt ? 1 : 0) + (messages_file ? 1 : 0) + (prompt_ids_file ? 1 : 0);
  if (sources > 1) {
    fail_usage("run", "more than one of PROMPT, --messages and --prompt-ids is given");
  }
  if (prompt_ids_file && raw) fail_usage("--raw", "does not go with --prompt-ids");
  if (messages_file && raw) fail_usage("--raw", "does not go with --messages");
  if (system && (raw || prompt_ids_file)) {
    fail_usage("--system", "needs the chat template: it does not go with --raw or --prompt-ids");
  }
  generation.check();
}

std::optional<int64_t> RunOptions::tokens(int64_t prompt_tokens) const {
  if (!generation.max_new_tokens) return std::nullopt;
  return prompt_tokens + std::min(*generation.max_new_tokens, INT64_MAX - prompt_tokens);
}

// The prompt as far as it is known before the model is: what is wrong with it is said at once.
struct Prompt {
  std::string text;           // of PROMPT or stdin
  std::string messages_json;  // of the text or the file
  std::vector<int32_t> ids;
};

Json message(const char* role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

// The file's messages behind the system message. The text is not written anew: the library reads it
// with all its checks, and numbers and order stay as they are.
std::string with_system(const std::string& messages, const std::string& system,
                        const std::string& where) {
  const Json parsed = parse_json(messages, where, "expected a JSON array of messages");
  if (!parsed.is_array()) {
    throw phial::Error("invalid_input", where,
                       fmt::format("expected an array, got a JSON {}", parsed.type_name()));
  }
  for (const Json& item : parsed) {
    if (!item.is_object()) continue;
    const auto role = item.find("role");
    if (role != item.end() && role->is_string() && *role == "system") {
      fail_usage("--system", fmt::format("{} holds a system message already", where));
    }
  }
  const size_t bracket = messages.find('[');
  return "[" + message("system", system).dump() + (parsed.empty() ? "" : ",") +
         messages.substr(bracket + 1);
}

// Whether nothing is there under this name.
bool is_no_model(const std::string& path) {
  try {
    const phial::Context context(1, "", 0);
    const phial::Model model(context, path, PHIAL_LOAD_INFO);
  } catch (const phial::Error& error) {
    return std::strcmp(error.code(), "not_found") == 0;
  }
  return false;
}

Prompt read_prompt(const RunOptions& options) {
  Prompt prompt;
  if (options.system) phial::check_text(*options.system, "--system");
  if (options.prompt_ids_file) {
    const std::string where = input_name(*options.prompt_ids_file);
    prompt.ids = parse_ids(read_input(*options.prompt_ids_file), where);
    if (prompt.ids.empty()) throw phial::Error("invalid_input", where, "no ids");
    return prompt;
  }
  if (options.messages_file) {
    prompt.messages_json = read_input(*options.messages_file);
    if (options.system) {
      prompt.messages_json =
          with_system(prompt.messages_json, *options.system, input_name(*options.messages_file));
    }
    return prompt;
  }
  const std::optional<std::string> text = text_argument(options.prompt, "PROMPT");
  const bool from_stdin = !options.prompt || *options.prompt == "-";
  if (!text || (from_stdin && text->empty())) {
    if (is_no_model(*options.model_path)) {
      fail_usage("run",
                 fmt::format("no prompt; and '{}', which comes first, is no file, folder or known "
                             "name of a MODEL",
                             printable(*options.model_path)),
                 "phial run MODEL PROMPT");
    }
    fail_usage("run", from_stdin && text ? "stdin is empty: there is no prompt" : "no prompt",
               "give PROMPT, --messages or --prompt-ids, or pipe text to stdin");
  }
  prompt.text = *text;
  if (!options.raw) {
    Json messages = Json::array();
    if (options.system) messages.push_back(message("system", *options.system));
    messages.push_back(message("user", prompt.text));
    prompt.messages_json = messages.dump();
  }
  return prompt;
}

// The tokenizer's own special tokens are added. A text that gives no tokens begins, as in Hugging
// Face, with the model's beginning token.
std::vector<int32_t> raw_ids(const phial::Model& model, const std::string& text) {
  std::vector<int32_t> ids = model.tokenize(text, true);
  if (ids.empty()) {
    phial::TemplateOptions beginning;
    beginning.has_template = true;
    beginning.template_text = "{{ bos_token }}";
    ids = model.tokenize(model.render("[]", beginning), false);
  }
  if (ids.empty()) {
    fail_usage("run", "an empty prompt gives no tokens: this model has no beginning token");
  }
  return ids;
}

std::vector<int32_t> prompt_ids(const RunOptions& options, const phial::Model& model,
                                const Prompt& prompt) {
  if (!prompt.ids.empty()) return prompt.ids;
  if (options.raw) return raw_ids(model, prompt.text);
  try {
    const std::string file = input_name(options.messages_file.value_or("PROMPT"));
    const std::string text =
        naming({{"messages", file}}, [&] { return model.render(prompt.messages_json); });
    return model.tokenize(text, false);
  } catch (const phial::Error& error) {
    const bool plain = !options.messages_file && !options.system;
    if (!plain || std::strcmp(error.code(), "not_found") != 0) throw;
    notice(options.common,
           fmt::format("note: {}; the prompt is used as it is, as with --raw", error.message()));
    return raw_ids(model, prompt.text);
  }
}

const char* finish_name(phial_finish finish) {
  switch (finish) {
    case PHIAL_FINISH_STOP:
      return "stop";
    case PHIAL_FINISH_LENGTH:
      return "length";
    case PHIAL_FINISH_CANCELLED:
      return "cancelled";
  }
  return "stop";
}

struct Timings {
  double load_ms = 0;
  double ttft_ms = 0;
};

int64_t peak_resident_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

double per_second(int64_t tokens, double ms) {
  return ms > 0 && tokens > 0 ? 1000.0 * static_cast<double>(tokens) / ms : 0;
}

Json stats_object(const phial_generate_stats& stats, const Timings& timings, size_t outputs) {
  // Answers that run side by side decode a token each in one step.
  const int64_t first_tokens = static_cast<int64_t>(outputs);
  return {{"load_ms", rounded(timings.load_ms)},
          {"prompt_tokens", stats.prompt_tokens},
          {"new_tokens", stats.new_tokens},
          {"ttft_ms", rounded(timings.ttft_ms)},
          {"prefill_tps", rounded(per_second(stats.prompt_tokens, stats.prefill_ms))},
          {"decode_tps", rounded(per_second(stats.new_tokens - first_tokens, stats.decode_ms))},
          {"drafted_tokens", stats.drafted_tokens},
          {"accepted_tokens", stats.accepted_tokens},
          {"peak_rss_bytes", peak_resident_bytes()}};
}

// Ids given without a tokenizer have no text; a note says why.
void note_missing_text(const RunOptions& options, const phial::Model& model) {
  try {
    (void)model.detokenize({}, true);
  } catch (const phial::Error& error) {
    if (!options.prompt_ids_file) throw;
    notice(options.common, fmt::format("note: no text: {}", error.what()));
  }
}

Json logprobs_array(const phial::Answer& answer) {
  const auto object = [](const phial_logprob& token) -> Json {
    return {{"id", token.id}, {"logprob", token.logprob}};
  };
  Json tokens = Json::array();
  for (const phial::TokenLogprobs& token : answer.logprobs) {
    Json entry = object(token.chosen);
    entry["top"] = Json::array();
    for (const phial_logprob& likely : token.top) entry["top"].push_back(object(likely));
    tokens.push_back(std::move(entry));
  }
  return tokens;
}

void print_json(const RunOptions& options, const std::vector<int32_t>& ids,
                const phial::Answers& answers, const Timings& timings) {
  Json outputs = Json::array();
  for (const phial::Answer& answer : answers.outputs) {
    Json output = {
        {"ids", answer.ids}, {"text", answer.text}, {"finish_reason", finish_name(answer.finish)}};
    if (options.generation.logprobs) output["logprobs"] = logprobs_array(answer);
    outputs.push_back(std::move(output));
  }
  const size_t count = answers.outputs.size();
  write_json({{"prompt_ids", ids},
              {"outputs", std::move(outputs)},
              {"stats", stats_object(answers.stats, timings, count)}});
}

// Answers that were not streamed: one as it is, several with a line of dashes between them.
void print_texts(const phial::Answers& answers) {
  for (size_t i = 0; i < answers.outputs.size(); ++i) {
    const std::string& text = answers.outputs[i].text;
    if (i > 0) write_stdout("\n---\n");
    write_stdout(text);
  }
}

// Log-probabilities in plain output: a line for each token, on stderr.
void print_logprobs(const phial::Model& model, const phial::Answers& answers) {
  for (const phial::Answer& answer : answers.outputs) {
    for (const phial::TokenLogprobs& token : answer.logprobs) {
      std::string line = fmt::format("{} {:.4f}", token.chosen.id, token.chosen.logprob);
      for (const phial_logprob& likely : token.top) {
        line += fmt::format("  {}={:.4f}", printable(model.piece(likely.id)), likely.logprob);
      }
      write_stderr(line);
    }
  }
}

void print_answers(const RunOptions& options, const phial::Model& model,
                   const std::vector<int32_t>& ids, const phial::Answers& answers, bool streamed,
                   const Timings& timings) {
  note_missing_text(options, model);
  if (options.common.json) return print_json(options, ids, answers, timings);
  if (!streamed) print_texts(answers);
  if (stdout_is_terminal()) write_stdout("\n");
  if (options.common.quiet) return;
  if (options.generation.logprobs) print_logprobs(model, answers);
  if (!stderr_is_terminal()) return;
  const phial_generate_stats& stats = answers.stats;
  const auto count = static_cast<int64_t>(answers.outputs.size());
  write_stderr(
      fmt::format("{} prompt + {} new tokens, first after {:.2f} s, then {:.1f} tok/s [{}]",
                  stats.prompt_tokens, stats.new_tokens, timings.ttft_ms / 1000,
                  per_second(stats.new_tokens - count, stats.decode_ms),
                  finish_name(answers.outputs.front().finish)));
}

// Answers what `sequence` holds; `streamed` tells whether the text was written as it grew.
phial::Answers answer(const RunOptions& options, const phial::Model& model, phial_model* assistant,
                      phial::Sequence& sequence, bool& streamed) {
  Progress progress("reading", "tokens", !options.common.quiet);
  phial::Sequence::OnToken stream;
  if (!options.common.json) {
    stream = [&streamed, &progress](int32_t, std::string_view text) {
      progress.clear();
      streamed = true;
      if (!text.empty()) write_stdout(text);
      return true;
    };
  }
  ReadPart part;
  int64_t read = 0;
  if (!options.common.quiet && stderr_is_terminal()) {
    part = read_in_pieces(sequence, 0, [&](int64_t done, int64_t total) {
      read = done;
      progress.update(static_cast<double>(done), static_cast<double>(total));
    });
  }
  if (!stream) progress.clear();
  phial::Answers answers;
  if (part.cancelled) {
    answers.outputs.emplace_back().finish = PHIAL_FINISH_CANCELLED;
  } else {
    answers = naming(kOptionNames, [&] {
      phial::GenerateOptions asked = options.generation.request(model);
      asked.plain.assistant = assistant;
      return sequence.generate_outputs(asked, stream);
    });
  }
  answers.stats.prompt_tokens += read;
  answers.stats.prefill_ms += part.milliseconds;
  return answers;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  RunOptions options;
  options.declare(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  options.check();
  const Prompt prompt = read_prompt(options);

  Timings timings;
  const Clock::time_point begin = Clock::now();
  const phial::Context context = make_context(options.common, Work::compute);
  const phial::Model model =
      load_model(context, options.common, *options.model_path, options.engine.model_options());
  const std::optional<phial::Model> assistant =
      load_assistant(context, options.common, options.assistant_model);
  timings.load_ms = milliseconds_since(begin);

  const Clock::time_point request = Clock::now();
  const std::vector<int32_t> ids = prompt_ids(options, model, prompt);
  phial::Sequence sequence =
      make_sequence(model, choose_context(options.common, model, options.engine.context,
                                          options.tokens(std::ssize(ids)), assistant,
                                          options.generation.sequences()));
  if (options.prompt_ids_file) {
    in_file(input_name(*options.prompt_ids_file), [&] { sequence.append(ids); });
  } else {
    sequence.append(ids);
  }
  const double prepare_ms = milliseconds_since(request);
  const InterruptScope interruptible(sequence);
  bool streamed = false;
  const phial::Answers answers =
      answer(options, model, assistant ? assistant->get() : nullptr, sequence, streamed);
  timings.ttft_ms = prepare_ms + answers.stats.prefill_ms;
  print_answers(options, model, ids, answers, streamed, timings);
  for (const phial::Answer& answer : answers.outputs) {
    if (answer.finish == PHIAL_FINISH_CANCELLED) return kInterruptedExit;
  }
  return 0;
}

}  // namespace

const Command kRunCommand = {
    "run", "answer one prompt", "MODEL [PROMPT | -] [options]",
    "  phial run smollm2.gguf \"Why is the sky blue?\"\n"
    "  git diff | phial run smollm2.gguf --system \"Summarize this change.\"\n"
    "  phial run smollm2.gguf --messages talk.json --temperature 0.7 --seed 1\n"
    "  phial run smollm2.gguf \"A name for a cat\" --num-beams 4 --num-return-sequences 4\n"
    "  phial run --raw base.gguf \"Once upon a time\" --max-new-tokens 64\n"
    "  phial run --json --greedy smollm2.gguf -- \"-5 + 3 is\" | jq -r .outputs[0].text\n",
    run};

}  // namespace phial_cli
