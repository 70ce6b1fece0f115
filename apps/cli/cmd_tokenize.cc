// phial tokenize: text to ids and back.
#include <fmt/format.h>

#include "commands.h"
#include "input.h"
#include "output.h"

namespace phial_cli {
namespace {

struct TokenizeOptions {
  CommonOptions common;
  std::optional<std::string> model_path;
  std::optional<std::string> text;
  bool no_special_tokens = false;
  bool decode = false;
  bool skip_special_tokens = false;
  bool lines = false;
};

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `text` in the colour of token number `index`: neighbours differ.
std::string in_colour(size_t index, const std::string& text) {
  constexpr const char* kBlackOn[] = {"46", "43", "42", "45"};  // cyan, yellow, green, magenta
  return fmt::format("\x1b[30;{}m{}\x1b[0m", kBlackOn[index % std::size(kBlackOn)], text);
}

Json tokens_object(const phial::Model& model, const std::vector<int32_t>& ids) {
  Json pieces = Json::array();
  for (const int32_t id : ids) pieces.push_back(model.piece(id));
  return {{"ids", ids}, {"tokens", std::move(pieces)}};
}

std::string parse_text_line(std::string_view line, const std::string& where) {
  const Json parsed = parse_json(line, where, "each line holds one JSON string");
  if (!parsed.is_string()) {
    throw phial::Error("invalid_input", where,
                       fmt::format("expected a JSON string, got a JSON {}", parsed.type_name()));
  }
  return parsed.get<std::string>();
}

std::string map_line(const TokenizeOptions& options, const phial::Model& model,
                     std::string_view line, const std::string& where) {
  if (options.decode) {
    return dump(model.detokenize(parse_ids(line, where), options.skip_special_tokens)) + '\n';
  }
  const std::string text = parse_text_line(line, where);
  return dump(tokens_object(model, model.tokenize(text, !options.no_special_tokens))) + '\n';
}

void map_lines(const TokenizeOptions& options, const phial::Model& model) {
  size_t number = 0;
  const auto map = [&](std::string_view line) {
    ++number;
    write_stdout(map_line(options, model, line, fmt::format("line {}", number)));
  };
  if (!options.text || *options.text == "-") {
    for_each_stdin_line(map);
    return;
  }
  std::string_view rest = *options.text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    map(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void print_decoded(const TokenizeOptions& options, const phial::Model& model,
                   const std::string& text) {
  const std::vector<int32_t> ids = parse_ids(text, "TEXT");
  const std::string decoded = model.detokenize(ids, options.skip_special_tokens);
  if (options.common.json) {
    Json object = tokens_object(model, ids);
    object["text"] = decoded;
    write_json(object);
    return;
  }
  write_stdout(decoded);
  if (stdout_is_terminal()) write_stdout("\n");
}

void print_encoded(const TokenizeOptions& options, const phial::Model& model,
                   const std::string& text) {
  const std::vector<int32_t> ids = model.tokenize(text, !options.no_special_tokens);
  if (options.common.json) {
    write_json(tokens_object(model, ids));
    return;
  }
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(printable(model.piece(id)));
  const bool coloured = !options.common.quiet && stdout_takes_colours();
  std::string out;
  if (coloured && !ids.empty()) {
    // The whole text first, so that the cuts show; then each token with its id.
    for (size_t i = 0; i < ids.size(); ++i) out += in_colour(i, pieces[i]);
    out += "\n\n";
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    out += fmt::format("{:>7}  {}\n", ids[i], coloured ? in_colour(i, pieces[i]) : pieces[i]);
  }
  write_stdout(out);
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  TokenizeOptions options;
  parser.positional("MODEL", true, options.model_path);
  parser.positional("TEXT", false, options.text);
  parser.heading("Text to ids");
  parser.flag("--no-special-tokens", options.no_special_tokens, "add no beginning or end tokens");
  parser.heading("Ids to text");
  parser.flag("--decode", options.decode, "TEXT is a JSON array of ids; print their text");
  parser.flag("--skip-special-tokens", options.skip_special_tokens,
              "leave special tokens out of the text");
  parser.heading("Many at once");
  parser.flag("--jsonl", options.lines,
              "map each input line, a JSON string (an array with --decode), to one output line");
  options.common.declare(parser, Work::text);
  parser.remark(
      "Without TEXT, or with -, the text is read from stdin as it is. On a terminal tokens are "
      "coloured (not with --quiet or NO_COLOR). MODEL needs no weights: a "
      "tokenizer.json, a folder that holds one, or a vocabulary-only GGUF will do.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (options.skip_special_tokens && !options.decode) {
    fail_usage("--skip-special-tokens", "goes with --decode only",
               "--no-special-tokens is for encoding");
  }
  if (options.no_special_tokens && options.decode) {
    fail_usage("--no-special-tokens", "does not go with --decode",
               "--skip-special-tokens is for decoding");
  }
  std::optional<std::string> text;
  if (!options.lines) {
    text = text_argument(options.text, "TEXT");
    if (!text) fail_usage("tokenize", "TEXT is missing", "give it, or pipe it to stdin");
  } else if (!options.text && !stdin_was_open()) {
    fail_usage("tokenize", "stdin is closed");
  }
  const phial::Context context = make_context(options.common, Work::text);
  const phial::Model model(context, *options.model_path, PHIAL_LOAD_TEXT);
  if (options.lines) {
    map_lines(options, model);
  } else if (options.decode) {
    print_decoded(options, model, *text);
  } else {
    print_encoded(options, model, *text);
  }
  return 0;
}

}  // namespace

const Command kTokenizeCommand = {
    "tokenize", "text to token ids and back", "MODEL [TEXT | -] [options]",
    "  phial tokenize smollm2.gguf \"Hello, world\"\n"
    "  phial tokenize --json tokenizer.json - < book.txt\n"
    "  phial tokenize --decode smollm2.gguf \"[19556, 28, 905]\"\n"
    "  phial tokenize --jsonl smollm2.gguf < lines.jsonl > ids.jsonl\n",
    run};

}  // namespace phial_cli
