#include "eval/bench_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "base/rng.h"
#include "eval/bench_plan.h"
#include "eval/bench_rows.h"
#include "eval/bench_tokenizer.h"
#include "eval/bench_work.h"
#include "eval/memory_watch.h"
#include "eval/probes.h"
#include "sys/memory.h"
#include "sys/page_cache.h"

namespace phial {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr double kDecodeSeconds = 1.2;  // of one sample of tokens
constexpr int64_t kMinDecodeTokens = 8;
constexpr double kPassSeconds = 0.03;  // of the repetitions of a pass
constexpr int64_t kMaxPasses = 16;
// Rounds end when they have taken so long, those of long prompts and those of everything else;
// likewise loads, and the samples at one depth.
constexpr double kRoundsSeconds = 30;
constexpr double kLoadSeconds = 6;
constexpr double kDepthSeconds = 8;
// A file of which more than this stays in memory cannot be read cold.
constexpr double kColdShare = 0.02;
// Share of the integer peak that kernels for few tokens are held to; it is in the target of the
// pass rows.
constexpr double kPassPeakShare = 0.7;

std::string prefill_row(int64_t tokens) { return fmt::format("prefill_{}", tokens); }
std::string depth_row(int64_t depth) { return fmt::format("decode_depth_{}", depth); }
std::string pass_row(int64_t tokens) { return fmt::format("pass_{}_over_1", tokens); }
constexpr int64_t kTtftTokens = 512;
constexpr char kTtft[] = "ttft_512_ms";

// A time, and the one that the probes just before allow.
struct Timed {
  double seconds = 0;
  double ideal = 0;

  void operator+=(const Timed& other) {
    seconds += other.seconds;
    ideal += other.ideal;
  }
  double percent() const { return 100 * ideal / seconds; }
};

bool has_window(const ModelSpec& spec) {
  return std::any_of(spec.layer_kinds.begin(), spec.layer_kinds.end(),
                     [](const LayerKind& kind) { return kind.window > 0; });
}

// Closes a sequence at the end of its life.
class OpenSequence {
 public:
  OpenSequence(std::shared_ptr<Decoder> decoder, SequenceId id)
      : decoder_(std::move(decoder)), id_(id) {}
  ~OpenSequence() { decoder_->close(id_); }
  OpenSequence(const OpenSequence&) = delete;
  OpenSequence& operator=(const OpenSequence&) = delete;
  SequenceId id() const { return id_; }

 private:
  std::shared_ptr<Decoder> decoder_;
  SequenceId id_;
};

class ModelBench {
 public:
  ModelBench(std::shared_ptr<const Runtime> runtime, const BenchSubject& subject,
             const ModelBenchOptions& options)
      : runtime_(std::move(runtime)), subject_(subject), options_(options) {}

  Result<Json> run();

 private:
  void declare_rows();
  void make_ids();
  Status tell(const std::string& what);

  Result<std::unique_ptr<OpenSequence>> open_sequence() const;
  // Seconds of one forward over the tokens of positions [begin, begin + count).
  Result<double> forward(SequenceId sequence, int64_t begin, int64_t count, LogitsRows rows);
  // The same, whatever it takes.
  Status feed(SequenceId sequence, int64_t begin, int64_t count);
  // One forward over at most kBenchPiece tokens, behind a probe.
  Result<Timed> read_piece(SequenceId sequence, int64_t begin, int64_t count, LogitsRows rows);

  Status measure_loading();
  Status measure_rounds();
  Status measure_short_prompt(int64_t tokens);
  Status measure_beginning();
  Status measure_decode(SequenceId sequence, int64_t depth);
  Status measure_passes(SequenceId sequence);
  Result<Timed> time_pass(SequenceId sequence, int64_t tokens);
  Status measure_long_prompts();
  Status measure_long_prompt(int64_t end);
  Status measure_depth(SequenceId sequence, int64_t depth);
  Status measure_tokenizer();
  Json describe_model() const;

  std::shared_ptr<const Runtime> runtime_;
  const BenchSubject& subject_;
  const ModelBenchOptions& options_;
  BenchSubject::Opened opened_;
  BenchPlan plan_;
  ModelWork work_;
  std::unique_ptr<MachineProbes> probes_;
  Probe arithmetic_ = Probe::fma;
  BenchRows rows_;
  std::vector<int32_t> ids_;  // of every position
  Logits logits_;
  std::vector<double> token_seconds_;  // at depth 0, of all rounds
  std::optional<double> text_scan_mbps_;
  int64_t done_ = 0, total_ = 0;  // samples
};

Result<Json> ModelBench::run() {
  int64_t peak_anonymous = 0;
  {
    MemoryWatch watch(0);
    PHIAL_TRY(tell("loading"));
    PHIAL_ASSIGN(opened_, subject_.open());
    PHIAL_ASSIGN(plan_, make_bench_plan(options_, opened_.decoder->traits().context));
    work_ = work_of(*opened_.model);
    arithmetic_ = arithmetic_probe(*opened_.model, opened_.numerics.compute,
                                   probe_table(*runtime_->kernels).bf16.run != nullptr);
    declare_rows();
    make_ids();
    if (subject_.from_files) PHIAL_TRY(measure_loading());
    peak_anonymous = watch.peak_anonymous_bytes();
  }
  const uint64_t load_peak = peak_resident_bytes();
  PHIAL_ASSIGN(probes_, MachineProbes::create(runtime_));
  {
    MemoryWatch watch(probes_->resident_bytes());
    PHIAL_TRY(measure_rounds());
    PHIAL_TRY(measure_long_prompts());
    peak_anonymous = std::max(peak_anonymous, watch.peak_anonymous_bytes());
  }
  // The probes' memory was resident all the time since.
  const uint64_t rounds_peak =
      peak_resident_bytes() - static_cast<uint64_t>(probes_->resident_bytes());
  rows_.add("peak_rss_bytes", static_cast<double>(std::max(load_peak, rounds_peak)));
  rows_.add("peak_anonymous_bytes", static_cast<double>(peak_anonymous));
  if (!token_seconds_.empty()) {
    rows_.add("inter_token_p50_ms", 1e3 * quantile_of(token_seconds_, 0.5));
    rows_.add("inter_token_p99_ms", 1e3 * quantile_of(token_seconds_, 0.99));
  }
  if (opened_.tokenizer != nullptr) PHIAL_TRY(measure_tokenizer());

  Json settings;
  settings.set("threads", runtime_->threads->size());
  settings.set("isa", runtime_->kernels->isa);
  settings.set("compute", compute_name(opened_.numerics.compute));
  settings.set("kv", kv_type_name(opened_.numerics.kv));
  settings.set("rounds", options_.rounds);
  Json report;
  report.set("model", describe_model());
  report.set("settings", std::move(settings));
  Json probes = probes_->report();
  if (text_scan_mbps_) probes.set("text_scan_mbps", *text_scan_mbps_);
  report.set("probes", std::move(probes));
  report.set("rows", rows_.to_json());
  return report;
}

void ModelBench::declare_rows() {
  const std::string dram = probe_name(Probe::dram);
  const std::string arithmetic = probe_name(arithmetic_);
  for (const auto* prompts : {&plan_.short_prompts, &plan_.long_prompts}) {
    for (const int64_t n : *prompts) rows_.declare(prefill_row(n), "tok/s", arithmetic);
  }
  rows_.declare(depth_row(0), "tok/s", dram);
  for (const int64_t n : plan_.depths) rows_.declare(depth_row(n), "tok/s", dram);
  for (const int64_t n : plan_.batches) {
    rows_.declare(pass_row(n), "ratio", dram + "|" + arithmetic);
  }
  rows_.declare(kTtft, "ms");
  rows_.declare("inter_token_p50_ms", "ms");
  rows_.declare("inter_token_p99_ms", "ms");
  rows_.declare("load_warm_ms", "ms");
  rows_.declare("load_cold_ms", "ms");
  rows_.declare("peak_rss_bytes", "bytes");
  rows_.declare("peak_anonymous_bytes", "bytes");
  rows_.declare("tokenizer_mbps", "MB/s", "text_scan_mbps");
  const auto rounds = int64_t{options_.rounds};
  total_ = rounds * static_cast<int64_t>(plan_.short_prompts.size() + plan_.depths.size()) +
           (plan_.at_the_beginning ? rounds : 0) +
           (plan_.batches.empty() ? 0 : rounds * static_cast<int64_t>(plan_.batches.size() + 2));
  int64_t longest = plan_.long_prompts.empty() ? 0 : plan_.long_prompts.back();
  if (!plan_.depths.empty()) longest = std::max(longest, plan_.depths.back());
  total_ += longest / kBenchPiece;
}

void ModelBench::make_ids() {
  const auto vocabulary = static_cast<uint64_t>(opened_.decoder->traits().vocabulary);
  Rng rng(1);
  ids_.resize(static_cast<size_t>(plan_.positions));
  for (int32_t& id : ids_) id = static_cast<int32_t>(rng.next() % vocabulary);
}

Status ModelBench::tell(const std::string& what) {
  if (options_.progress && !options_.progress(what, std::min(done_, total_), total_)) {
    return cancelled("bench");
  }
  return {};
}

Result<double> ModelBench::forward(SequenceId sequence, int64_t begin, int64_t count,
                                   LogitsRows rows) {
  Step step;
  step.sequence = sequence;
  step.tokens = std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  step.logits = rows;
  const Clock::time_point start = Clock::now();
  PHIAL_TRY(opened_.decoder->forward(std::span(&step, 1), logits_, nullptr));
  const double seconds = seconds_since(start);
  // A sum is finite exactly when all of them are, but for sums that overflow: logits are small.
  double sum = 0;
  for (const float logit : logits_.values) sum += static_cast<double>(logit);
  if (!std::isfinite(sum)) return failed("bench", "the model's logits are not finite");
  return seconds;
}

Result<std::unique_ptr<OpenSequence>> ModelBench::open_sequence() const {
  PHIAL_ASSIGN(const SequenceId id, opened_.decoder->open(plan_.positions));
  return std::make_unique<OpenSequence>(opened_.decoder, id);
}

Status ModelBench::feed(SequenceId sequence, int64_t begin, int64_t count) {
  const Result<double> seconds = forward(sequence, begin, count, LogitsRows::none);
  return seconds.ok() ? Status() : Status(seconds.error());
}

Result<Timed> ModelBench::read_piece(SequenceId sequence, int64_t begin, int64_t count,
                                     LogitsRows rows) {
  PHIAL_TRY(tell("reading a prompt"));
  const double peak = probes_->take(arithmetic_);
  PHIAL_ASSIGN(const double seconds, forward(sequence, begin, count, rows));
  return Timed{seconds, work_.prefill_operations(count) / peak};
}

// From the path to the logits of one token: what is mapped lazily is read by then.
Status ModelBench::measure_loading() {
  std::set<std::string> files;
  const std::string& path = opened_.model->checkpoint->path;
  const bool is_folder = runtime_->files->kind(path) == FileKind::folder;
  for (const NamedTensor& tensor : opened_.model->checkpoint->tensors) {
    files.insert(join_path(is_folder ? path : folder_of(path), tensor.file));
  }
  const auto load = [&]() -> Result<double> {
    const Clock::time_point begin = Clock::now();
    PHIAL_ASSIGN(opened_, subject_.open());
    PHIAL_ASSIGN(const auto sequence, open_sequence());
    PHIAL_ASSIGN(const double first, forward(sequence->id(), 0, 1, LogitsRows::last));
    static_cast<void>(first);  // a part of what is measured
    return seconds_since(begin);
  };
  const Clock::time_point begin = Clock::now();
  for (const bool cold : {true, false}) {
    for (int32_t round = 0; round < options_.rounds; ++round) {
      if (round > 0 && seconds_since(begin) > (cold ? kLoadSeconds / 2 : kLoadSeconds)) break;
      opened_ = {};
      double in_memory = 0;
      if (cold) {
        for (const std::string& file : files) {
          in_memory = std::max(in_memory, drop_from_page_cache(file));
        }
      }
      if (in_memory > kColdShare) break;
      PHIAL_TRY(tell(cold ? "loading, from disk" : "loading"));
      PHIAL_ASSIGN(const double seconds, load());
      rows_.add(cold ? "load_cold_ms" : "load_warm_ms", 1e3 * seconds);
    }
  }
  if (opened_.decoder == nullptr) {
    PHIAL_ASSIGN(opened_, subject_.open());
  }
  return {};
}

Status ModelBench::measure_rounds() {
  // Buffers of the engine are made with the first pass.
  PHIAL_TRY(tell("warming up"));
  {
    PHIAL_ASSIGN(const auto warm_up, open_sequence());
    PHIAL_TRY(feed(warm_up->id(), 0, std::min<int64_t>(plan_.positions, 64)));
  }

  const Clock::time_point begin = Clock::now();
  for (int32_t round = 0; round < options_.rounds; ++round) {
    for (const int64_t tokens : plan_.short_prompts) PHIAL_TRY(measure_short_prompt(tokens));
    PHIAL_TRY(measure_beginning());
    if (seconds_since(begin) * (round + 2) / (round + 1) > kRoundsSeconds) {
      total_ -= total_ * (options_.rounds - round - 1) / options_.rounds;
      break;
    }
  }
  return {};
}

Status ModelBench::measure_short_prompt(int64_t tokens) {
  PHIAL_ASSIGN(const auto sequence, open_sequence());
  Timed whole;
  for (int64_t at = 0; at < tokens; at += kBenchPiece) {
    const int64_t count = std::min(kBenchPiece, tokens - at);
    const LogitsRows rows = at + count == tokens ? LogitsRows::last : LogitsRows::none;
    PHIAL_ASSIGN(const Timed piece, read_piece(sequence->id(), at, count, rows));
    whole += piece;
  }
  ++done_;
  rows_.add(prefill_row(tokens), static_cast<double>(tokens) / whole.seconds, whole.percent());
  if (tokens == kTtftTokens) {
    const Clock::time_point begin = Clock::now();
    const auto best = std::max_element(logits_.values.begin(), logits_.values.end());
    if (best == logits_.values.end()) return internal_error("bench", "no logits");
    rows_.add(kTtft, 1e3 * (whole.seconds + seconds_since(begin)));
  }
  return {};
}

Status ModelBench::measure_beginning() {
  if (!plan_.at_the_beginning && plan_.batches.empty()) return {};
  PHIAL_ASSIGN(const auto sequence, open_sequence());
  if (plan_.at_the_beginning) PHIAL_TRY(measure_decode(sequence->id(), 0));
  return measure_passes(sequence->id());
}

// Leaves the sequence as it was. The first token is not counted: it makes what further tokens find.
Status ModelBench::measure_decode(SequenceId sequence, int64_t depth) {
  PHIAL_TRY(tell(fmt::format("decoding at depth {}", depth)));
  PHIAL_ASSIGN(const double first, forward(sequence, depth, 1, LogitsRows::last));
  const auto tokens =
      std::clamp(static_cast<int64_t>(kDecodeSeconds / first), kMinDecodeTokens, kMaxDecodeTokens);
  const double before = probes_->take(Probe::dram);
  Timed timed;
  double bytes = 0;
  for (int64_t i = 1; i <= tokens; ++i) {
    PHIAL_ASSIGN(const double seconds, forward(sequence, depth + i, 1, LogitsRows::last));
    if (depth == 0) token_seconds_.push_back(seconds);
    timed.seconds += seconds;
    bytes +=
        work_.weight_bytes + kv_read_bytes(opened_.model->spec, opened_.numerics.kv, depth + i);
  }
  // A sample takes long enough for the neighbours to change.
  timed.ideal = bytes / std::midpoint(before, probes_->take(Probe::dram));
  ++done_;
  rows_.add(depth_row(depth), static_cast<double>(tokens) / timed.seconds, timed.percent());
  return opened_.decoder->truncate(sequence, depth);
}

Result<Timed> ModelBench::time_pass(SequenceId sequence, int64_t tokens) {
  PHIAL_TRY(tell(fmt::format("passes over {} tokens", tokens)));
  const double bandwidth = probes_->take(Probe::dram);
  const double peak = kPassPeakShare * probes_->take(arithmetic_);
  const double bytes =
      work_.weight_bytes + kv_read_bytes(opened_.model->spec, opened_.numerics.kv, tokens);
  Timed timed;
  timed.ideal = std::max(bytes / bandwidth, work_.pass_operations(tokens) / peak);
  std::vector<double> seconds;
  double sum = 0;
  while (seconds.empty() || (sum < kPassSeconds && std::ssize(seconds) < kMaxPasses)) {
    PHIAL_ASSIGN(const double pass, forward(sequence, 1, tokens, LogitsRows::all));
    PHIAL_TRY(opened_.decoder->truncate(sequence, 1));
    seconds.push_back(pass);
    sum += pass;
  }
  timed.seconds = median_of(std::move(seconds));
  ++done_;
  return timed;
}

// One token first, in the middle of the others and last: what they are compared with drifts too.
Status ModelBench::measure_passes(SequenceId sequence) {
  if (plan_.batches.empty()) return {};
  PHIAL_TRY(feed(sequence, 0, 1));
  std::vector<double> single;
  std::vector<std::pair<int64_t, Timed>> several;
  const auto time_single = [&]() -> Status {
    PHIAL_ASSIGN(const Timed timed, time_pass(sequence, 1));
    single.push_back(timed.seconds);
    return {};
  };
  for (size_t i = 0; i < plan_.batches.size(); ++i) {
    if (i % 5 == 0) PHIAL_TRY(time_single());
    PHIAL_ASSIGN(const Timed timed, time_pass(sequence, plan_.batches[i]));
    several.emplace_back(plan_.batches[i], timed);
  }
  PHIAL_TRY(time_single());
  const double one = median_of(single);
  for (const auto& [tokens, timed] : several) {
    rows_.add(pass_row(tokens), timed.seconds / one, timed.percent());
  }
  return {};
}

Status ModelBench::measure_long_prompts() {
  int64_t end = plan_.long_prompts.empty() ? 0 : plan_.long_prompts.back();
  if (!plan_.depths.empty()) end = std::max(end, plan_.depths.back());
  if (end == 0) return {};
  const Clock::time_point begin = Clock::now();
  for (int32_t round = 0; round < options_.rounds; ++round) {
    if (round > 0) {
      if (seconds_since(begin) * (round + 1) / round > kRoundsSeconds) break;
      total_ += end / kBenchPiece;
    }
    PHIAL_TRY(measure_long_prompt(end));
  }
  return {};
}

// One prompt, read piece by piece: at milestones its time so far is a sample, at depths the reading
// stops and tokens are made.
Status ModelBench::measure_long_prompt(int64_t end) {
  PHIAL_ASSIGN(const auto opened, open_sequence());
  const SequenceId sequence = opened->id();
  Timed so_far;
  auto depth = plan_.depths.begin();
  int64_t at = 0;
  for (;;) {
    for (; depth != plan_.depths.end() && *depth < at + kBenchPiece; ++depth) {
      if (*depth > at) PHIAL_TRY(feed(sequence, at, *depth - at));
      PHIAL_TRY(measure_depth(sequence, *depth));
      PHIAL_TRY(opened_.decoder->truncate(sequence, at));
    }
    const int64_t next = at + kBenchPiece;
    if (next > end) return {};
    const bool milestone =
        std::binary_search(plan_.long_prompts.begin(), plan_.long_prompts.end(), next);
    const LogitsRows rows = milestone ? LogitsRows::last : LogitsRows::none;
    PHIAL_ASSIGN(const Timed piece, read_piece(sequence, at, kBenchPiece, rows));
    ++done_;
    so_far += piece;
    at = next;
    if (milestone) {
      rows_.add(prefill_row(at), static_cast<double>(at) / so_far.seconds, so_far.percent());
    }
  }
}

Status ModelBench::measure_depth(SequenceId sequence, int64_t depth) {
  // Behind a window pages are freed, and a truncated sequence would be read again: there a fork
  // makes the tokens.
  const bool forks = has_window(opened_.model->spec) && opened_.decoder->traits().can_fork;
  const Clock::time_point begin = Clock::now();
  for (int32_t round = 0; round < options_.rounds; ++round) {
    if (round > 0 && seconds_since(begin) * (round + 1) / round > kDepthSeconds) break;
    if (!forks) {
      PHIAL_TRY(measure_decode(sequence, depth));
      continue;
    }
    PHIAL_ASSIGN(const SequenceId id, opened_.decoder->fork(sequence, depth));
    const OpenSequence fork(opened_.decoder, id);
    PHIAL_TRY(measure_decode(id, depth));
  }
  return {};
}

Status ModelBench::measure_tokenizer() {
  PHIAL_TRY(tell("tokenizing"));
  TokenizerBenchOptions options;
  options.rounds = options_.rounds;
  options.only_whole = true;
  PHIAL_ASSIGN(const Json measured, bench_tokenizer(*opened_.tokenizer, options));
  for (const Json& row : *measured.find("rows")->if_array()) {
    const std::string& name = *row.find("name")->if_string();
    if (name != "tokenizer_mbps") continue;
    rows_.add(name, row.find("value")->number().value_or(0),
              row.find("percent_of_probe")->number());
  }
  text_scan_mbps_ = measured.find("probes")->find("text_scan_mbps")->number();
  return {};
}

Json ModelBench::describe_model() const {
  const ModelSpec& spec = opened_.model->spec;
  Json model;
  model.set("name", subject_.name);
  model.set("architecture", spec.architecture);
  model.set("grid", main_grid(*opened_.model));
  model.set("layers", spec.layers);
  model.set("layer_parameters", work_.layer_parameters);
  model.set("head_parameters", work_.head_parameters);
  model.set("weight_bytes_per_token", work_.weight_bytes);
  model.set("kv_bytes_per_position", kv_read_bytes(spec, opened_.numerics.kv, 0));
  return model;
}

}  // namespace

Result<Json> bench_model(std::shared_ptr<const Runtime> runtime, const BenchSubject& subject,
                         const ModelBenchOptions& options) {
  return ModelBench(std::move(runtime), subject, options).run();
}

}  // namespace phial
