#include "scoring.h"

#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "progress.h"

namespace phial_cli {

void WindowFlags::declare(CommandLine& line) {
  line.integer("--context", "N", context, 2, INT64_MAX,
               "tokens of a window (default: the model's context, at most 2,048)");
  line.integer("--stride", "N", stride, 1, INT64_MAX,
               "tokens from one window to the next (default: 512, at most the window)");
}

void WindowFlags::check() const {
  if (context && stride && *stride > *context) {
    fail_usage("--stride", fmt::format("expected a whole number, 1..{} (the window); got '{}'",
                                       *context, *stride));
  }
}

std::string read_text_input(const std::string& file) {
  std::string text = read_input(file);
  phial::check_text(text, input_name(file));
  return text;
}

std::vector<int32_t> shared_ids(const ModelPair& models, const std::string& text,
                                const std::string& name) {
  std::vector<int32_t> ids = models.a.tokenize(text, true);
  const std::vector<int32_t> ids_b = models.b.tokenize(text, true);
  if (ids == ids_b) return ids;
  const auto at = static_cast<size_t>(
      std::mismatch(ids.begin(), ids.end(), ids_b.begin(), ids_b.end()).first - ids.begin());
  const auto token = [at](const phial::Model& model, const std::vector<int32_t>& of) {
    return at < of.size() ? fmt::format("{} ('{}')", of[at], printable(model.piece(of[at])))
                          : std::string("its end");
  };
  throw phial::Error("invalid_input", name,
                     fmt::format("the tokenizers differ: token {} is {} for {} and {} for {}", at,
                                 token(models.a, ids), printable(models.name_a),
                                 token(models.b, ids_b), printable(models.name_b)),
                     "only models that share a tokenizer can be compared; --ids gives ids instead");
}

Json compare_models(const ModelPair& models, const std::vector<int32_t>& ids,
                    const std::string& source, const phial_compare_options& options,
                    const CommonOptions& common) {
  constexpr int64_t kPromptTokens = 64;  // of a continuation
  const int64_t window = options.context > 0 ? options.context : WindowFlags::kMostTokens;
  const int64_t continued =
      options.continuations > 0
          ? kPromptTokens + std::min(options.new_tokens, INT64_MAX - kPromptTokens)
          : 0;
  const auto sequence = [&](const phial::Model& model) {
    return make_sequence(model,
                         choose_context(common, model, std::nullopt, std::max(window, continued)));
  };
  phial::Sequence a = sequence(models.a), b = sequence(models.b);
  const InterruptScope interruptible(a);
  Progress progress("comparing", "tokens", !common.quiet);
  return Json::parse(
      naming({kContextOption, {"compare", source}, {"phial_compare_json", "compare"}}, [&] {
        return a.compare_json(b, ids, options, [&progress](int64_t done, int64_t total) {
          progress.update(static_cast<double>(done), static_cast<double>(total));
          return true;
        });
      }));
}

std::string divergence_text(const Json& report, const char* a, const char* b) {
  const auto number = [&report](const char* key) { return report[key].get<double>(); };
  const auto count = [&report](const char* key) { return grouped(report[key].get<int64_t>()); };
  const std::string divergence =
      number("kl_max") == 0 && number("ppl_a") == number("ppl_b")
          ? "0 at every token: the same distributions"
          : fmt::format("mean {:.6f}, median {:.6f}, p99 {:.6f}, max {:.6f} at token {}",
                        number("kl_mean"), number("kl_median"), number("kl_p99"), number("kl_max"),
                        count("kl_max_at"));
  return fmt::format(
      "perplexity     {:.4f} for {}, {:.4f} for {} (x {:.4f})\n"
      "KL             {}\n"
      "top token      {:.2f} % equal; {:.2f} % of {} decided ones\n",
      number("ppl_a"), a, number("ppl_b"), b, number("ppl_b") / number("ppl_a"), divergence,
      100 * number("top1_agreement"), 100 * number("decided_agreement"), count("decided_tokens"));
}

}  // namespace phial_cli
