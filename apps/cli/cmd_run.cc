// phial run: one prompt, one answer.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstring>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"

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
  bool raw = false;
  bool greedy = false;
  bool ignore_eos = false;
  std::optional<int64_t> max_new_tokens;
  std::optional<float> temperature;
  std::optional<int64_t> top_k;
  std::optional<float> top_p;
  std::optional<uint64_t> seed;

  void declare(CommandLine& line);
  void check() const;
  // What the flags ask for; nothing: the model's own.
  std::optional<phial_sampling> sampling(const phial::Model& model) const;
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
  line.heading("Generation");
  line.integer("--max-new-tokens", "N", max_new_tokens, 0, INT64_MAX,
               "most new tokens (default: the model's, else up to the context)");
  line.flag("--greedy", greedy, "always the most likely token");
  line.real(
      "--temperature", "X", temperature, [](double x) { return x > 0; },
      "above 0 (--greedy takes the most likely token)", "sample; below 1 bolder, above 1 wilder");
  line.integer("--top-k", "N", top_k, 0, INT32_MAX, "sample among the N most likely; 0: all");
  line.real(
      "--top-p", "X", top_p, [](double x) { return x > 0 && x <= 1; }, "above 0, up to 1",
      "sample among the fewest tokens that reach this probability");
  line.seed("--seed", seed, "any 64-bit integer: the same seed gives the same answer");
  line.flag("--ignore-eos", ignore_eos, "end tokens are ordinary tokens");
  line.planned({"--min-new-tokens", "--min-p", "--typical-p", "--repetition-penalty",
                "--presence-penalty", "--frequency-penalty", "--no-repeat-ngram-size",
                "--num-beams", "--length-penalty", "--early-stopping", "--num-return-sequences",
                "--stop", "--logit-bias", "--logprobs"});
  engine.declare(line);
  common.declare(line);
  line.remark(
      "Any of --temperature, --top-k, --top-p switches sampling on, and what is not given is off; "
      "with none of them the model's generation_config.json decides, else the most likely token "
      "is taken.");
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
  if (greedy && (temperature || top_k || top_p)) {
    fail_usage("--greedy", "does not go with --temperature, --top-k or --top-p");
  }
}

std::optional<phial_sampling> RunOptions::sampling(const phial::Model& model) const {
  const bool filters = temperature || top_k || top_p;
  if (!filters && !greedy && !seed) return std::nullopt;
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  if (filters) {
    sampling.do_sample = 1;
    sampling.temperature = temperature.value_or(1.0f);
    sampling.top_k = static_cast<int32_t>(top_k.value_or(0));
    sampling.top_p = top_p.value_or(1.0f);
  } else if (!greedy) {
    sampling = model.sampling();
  }
  if (seed) {
    sampling.seed = *seed;
    sampling.has_seed = 1;
  }
  return sampling;
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

Json stats_object(const phial::Generation& answer, const Timings& timings) {
  const phial_generate_stats& stats = answer.stats;
  return {{"load_ms", rounded(timings.load_ms)},
          {"prompt_tokens", stats.prompt_tokens},
          {"new_tokens", stats.new_tokens},
          {"ttft_ms", rounded(timings.ttft_ms)},
          {"prefill_tps", rounded(per_second(stats.prompt_tokens, stats.prefill_ms))},
          {"decode_tps", rounded(per_second(stats.new_tokens - 1, stats.decode_ms))},
          {"peak_rss_bytes", peak_resident_bytes()}};
}

// The text of an answer; ids given without a tokenizer have none.
std::string answer_text(const RunOptions& options, const phial::Model& model,
                        const std::vector<int32_t>& ids) {
  try {
    return model.detokenize(ids, true);
  } catch (const phial::Error& error) {
    if (!options.prompt_ids_file) throw;
    notice(options.common, fmt::format("note: no text: {}", error.what()));
    return {};
  }
}

void print_answer(const RunOptions& options, const phial::Model& model,
                  const std::vector<int32_t>& ids, const phial::Generation& answer,
                  const Timings& timings) {
  if (options.common.json) {
    const Json output = {{"ids", answer.ids},
                         {"text", answer_text(options, model, answer.ids)},
                         {"finish_reason", finish_name(answer.finish)}};
    write_json({{"prompt_ids", ids},
                {"outputs", Json::array({output})},
                {"stats", stats_object(answer, timings)}});
    return;
  }
  if (stdout_is_terminal()) write_stdout("\n");
  if (options.common.quiet || !stderr_is_terminal()) return;
  const phial_generate_stats& stats = answer.stats;
  write_stderr(
      fmt::format("{} prompt + {} new tokens, first after {:.2f} s, then {:.1f} tok/s [{}]",
                  stats.prompt_tokens, stats.new_tokens, timings.ttft_ms / 1000,
                  per_second(stats.new_tokens - 1, stats.decode_ms), finish_name(answer.finish)));
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
  const phial::Model model(context, *options.model_path);
  timings.load_ms = milliseconds_since(begin);

  const Clock::time_point request = Clock::now();
  const std::vector<int32_t> ids = prompt_ids(options, model, prompt);
  phial::Sequence sequence(model, options.engine.context.value_or(0));
  sequence.append(ids);
  const std::optional<phial_sampling> sampling = options.sampling(model);
  phial_generate_options generate = PHIAL_GENERATE_OPTIONS_INIT;
  generate.sampling = sampling ? &*sampling : nullptr;
  generate.max_new_tokens = options.max_new_tokens.value_or(-1);
  generate.ignore_eos = options.ignore_eos ? 1 : 0;
  phial::Sequence::OnToken stream;
  if (!options.common.json) {
    stream = [](int32_t, std::string_view text) {
      if (!text.empty()) write_stdout(text);
      return true;
    };
  }
  const double prepare_ms = milliseconds_since(request);
  const InterruptScope interruptible(sequence);
  const phial::Generation answer = sequence.generate(generate, stream);
  timings.ttft_ms = prepare_ms + answer.stats.prefill_ms;
  print_answer(options, model, ids, answer, timings);
  return answer.finish == PHIAL_FINISH_CANCELLED ? kInterruptedExit : 0;
}

}  // namespace

const Command kRunCommand = {
    "run", "answer one prompt", "MODEL [PROMPT | -] [options]",
    "  phial run smollm2.gguf \"Why is the sky blue?\"\n"
    "  git diff | phial run smollm2.gguf --system \"Summarize this change.\"\n"
    "  phial run smollm2.gguf --messages talk.json --temperature 0.7 --seed 1\n"
    "  phial run --raw base.gguf \"Once upon a time\" --max-new-tokens 64\n"
    "  phial run --json --greedy smollm2.gguf -- \"-5 + 3 is\" | jq -r .outputs[0].text\n",
    run};

}  // namespace phial_cli
