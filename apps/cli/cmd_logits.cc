// phial logits: the logits of a token sequence as a NumPy file.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "output_file.h"

namespace phial_cli {
namespace {

// The lengths in which `count` ids are fed: those given, then the rest in one piece.
std::vector<int64_t> piece_lengths(const std::optional<std::string>& chunks, int64_t count) {
  std::vector<int64_t> lengths;
  if (chunks) lengths = parse_integer_list("--chunks", *chunks, 1, INT32_MAX);
  const int64_t given = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  if (given > count) {
    fail_usage("--chunks", fmt::format("{} ids asked for, {} given", given, count));
  }
  if (given < count) lengths.push_back(count - given);
  return lengths;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  EngineOptions engine(NumericsOptions::Purpose::measurements);
  std::optional<std::string> model_path, ids_file, out_file, chunks;
  bool last_only = false;
  parser.positional("MODEL", true, model_path);
  parser.heading("Logits");
  parser.text("--ids", "FILE", ids_file, "a JSON array of token ids; - for stdin");
  parser.text("--out", "OUT.npy", out_file, "float32 [positions, vocabulary]");
  parser.text("--chunks", "17,1,40", chunks,
              "feed the ids in pieces of these lengths, the rest in one piece");
  parser.flag("--last", last_only, "keep only the last position");
  engine.declare(parser);
  common.declare(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (!ids_file) fail_usage("logits", "--ids FILE is missing");
  if (!out_file) fail_usage("logits", "--out OUT.npy is missing");
  const std::vector<int32_t> ids = parse_ids(read_input(*ids_file), input_name(*ids_file));
  if (ids.empty()) throw phial::Error("invalid_input", input_name(*ids_file), "no ids");
  const std::vector<int64_t> lengths = piece_lengths(chunks, static_cast<int64_t>(ids.size()));

  const phial::Context context = make_context(common, Work::compute);
  const phial::Model model = load_model(context, common, *model_path, engine.model_options());
  phial::Sequence sequence =
      make_sequence(model, choose_context(common, model, engine.context, std::ssize(ids)));
  const InterruptScope interruptible(sequence);
  // Only now: an interrupt from here on unwinds this function, which removes the unfinished file.
  OutputFile out(*out_file, {*model_path, *ids_file});
  const int64_t positions = last_only ? 1 : static_cast<int64_t>(ids.size());
  int64_t vocabulary = 0;
  auto next = ids.begin();
  for (const int64_t length : lengths) {
    in_file(input_name(*ids_file),
            [&] { sequence.append(std::vector<int32_t>(next, next + length)); });
    next += length;
    sequence.compute_logits(last_only ? PHIAL_LOGITS_LAST : PHIAL_LOGITS_ALL);
    if (last_only && next != ids.end()) continue;
    const phial::LogitsView logits = sequence.logits();
    if (vocabulary == 0) {
      vocabulary = logits.vocabulary;
      out.append(
          phial::npy_header(static_cast<uint64_t>(positions), static_cast<uint64_t>(vocabulary)));
    }
    out.append({reinterpret_cast<const char*>(logits.values),
                static_cast<size_t>(logits.rows * logits.vocabulary) * sizeof(float)});
  }
  out.commit();
  if (common.json) {
    write_json({{"positions", positions}, {"vocab", vocabulary}});
  } else {
    notice(common, fmt::format("{}: {} positions x {} float32", printable(*out_file),
                               grouped(positions), grouped(vocabulary)));
  }
  return 0;
}

}  // namespace

const Command kLogitsCommand = {
    "logits", "the logits of a token sequence", "MODEL --ids FILE --out OUT.npy [options]",
    "  echo '[1, 2, 3]' | phial logits smollm2.gguf --ids - --out logits.npy\n"
    "  phial logits smollm2.gguf --ids ids.json --out last.npy --last --chunks 17,1,1\n",
    run};

}  // namespace phial_cli
