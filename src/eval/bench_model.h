// How fast a model is on this machine, beside what the machine can do in the same minute.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/decoder.h"
#include "engine/numerics.h"
#include "engine/runtime.h"
#include "model/model.h"

namespace phial {

// What is measured, and how to have it.
struct BenchSubject {
  struct Opened {
    std::shared_ptr<const Model> model;
    std::shared_ptr<Decoder> decoder;
    Numerics numerics;                           // of the decoder
    std::shared_ptr<const Tokenizer> tokenizer;  // null: without
  };

  std::string name;
  // Opens the model from the beginning. Called several times when `files` are given; what an
  // earlier call returned is gone by then.
  std::function<Result<Opened>()> open;
  // Whether its weights come from files, so that loading them is worth a row.
  bool from_files = false;
};

// Told before each sample: what is measured, and how many of how many samples are done (the total
// may grow). Returning false ends the benchmark with `cancelled`.
using BenchProgress = std::function<bool(std::string_view what, int64_t done, int64_t total)>;

struct ModelBenchOptions {
  // Lengths of prompts to read, positions at which to make tokens, tokens of one pass (2 ... 16).
  // Not given: 128, 512, 2048, 4096; 0, 1024, 4096; 2 to 16; those that the model's context can
  // hold. Empty: none.
  std::optional<std::vector<int64_t>> prompts, depths, batches;
  // Most samples of a row. What takes long is sampled less often, at least once.
  int32_t rounds = 5;
  BenchProgress progress;  // may be empty
};

// {"model":{...},"settings":{...},"probes":{...},"rows":[{"name","value","unit",
// "percent_of_probe","probe"?,"p10","p90","samples"}]}; docs/performance.md says how each row is
// made, bench_work.h has the formulas. Takes about a minute for a model of 4 billion parameters at
// the speed that two cores allow.
// Errors: usage (options out of range), context_full (a length that the model cannot hold), those
// of subject.open and of Decoder::forward; failed when logits are not finite.
Result<Json> bench_model(std::shared_ptr<const Runtime> runtime, const BenchSubject& subject,
                         const ModelBenchOptions& options);

}  // namespace phial
