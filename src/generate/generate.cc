#include "generate/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace phial {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

bool has_logits(Sequence& sequence) {
  return sequence.computed() == sequence.length() && sequence.logits().rows() > 0;
}

// A request with its clock. `error` set: it is over.
struct Run {
  explicit Run(const GenerateRequest& asked) : request(asked) {}

  void begin() {
    auto created = Generation::create(request);
    if (!created.ok()) {
      error = std::move(created).error();
      return;
    }
    generation = std::move(created).value();
    prompt_tokens = request.sequence->length() - request.sequence->computed();
    if (!generation->done()) computed(prefill());
  }

  // Reads the prompt, by itself: in a pass with others its rows would be other bits.
  Status prefill() {
    if (has_logits(*request.sequence)) return {};
    return request.sequence->compute_logits(LogitsRows::last, request.cancel);
  }

  bool running() const { return !error && generation != nullptr && !generation->done(); }

  // Goes on with what was computed.
  void computed(Status status) {
    if (status.ok()) {
      status = generation->advance();
      last_token = Clock::now();
      if (!first_token) first_token = last_token;
    }
    if (!status.ok() && status.error().code == ErrorCode::cancelled) {
      generation->cancel();
    } else if (!status.ok()) {
      error = std::move(status).error();
    } else if (running() && request.cancel != nullptr && request.cancel->requested()) {
      generation->cancel();
    }
  }

  Result<GenerateResult> result() {
    if (error) return std::move(*error);
    GenerateResult out;
    PHIAL_ASSIGN(out.outputs, generation->take());
    if (out.outputs.empty()) return failed("generate", "no token was possible");
    for (const Output& output : out.outputs) {
      out.new_tokens += static_cast<int64_t>(output.ids.size());
    }
    out.prompt_tokens = prompt_tokens;
    out.drafted_tokens = generation->drafted();
    out.accepted_tokens = generation->accepted();
    out.prefill_ms = milliseconds(start, first_token.value_or(start));
    out.decode_ms = first_token ? milliseconds(*first_token, last_token) : 0;
    return out;
  }

  const GenerateRequest& request;
  std::unique_ptr<Generation> generation;
  std::optional<Error> error;
  int64_t prompt_tokens = 0;
  Clock::time_point start = Clock::now();
  std::optional<Clock::time_point> first_token;
  Clock::time_point last_token;
};

// One step of all runs. A cancel flag stops a pass only when nobody else is in it.
void step(std::span<Run*> runs) {
  std::vector<Sequence*> sequences;
  for (Run* run : runs) {
    const std::vector<Sequence*> waiting = run->generation->waiting();
    sequences.insert(sequences.end(), waiting.begin(), waiting.end());
  }
  const bool alone = runs.size() == 1;
  const CancelFlag* cancel = alone ? runs.front()->request.cancel : nullptr;
  const Status together = alone && sequences.size() == 1
                              ? runs.front()->generation->compute_alone()
                              : Sequence::compute_together(sequences, cancel);
  for (Run* run : runs) {
    // What one run cannot compute is no matter of the others: each tries alone.
    Status status;
    if (!together.ok() && alone) {
      status = Error(together.error());
    } else if (!together.ok()) {
      for (Sequence* sequence : run->generation->waiting()) {
        if (status.ok() && !has_logits(*sequence)) {
          status = sequence->compute_logits(LogitsRows::last, run->request.cancel);
        }
      }
    }
    run->computed(std::move(status));
  }
}

}  // namespace

Result<GenerateResult> generate(const GenerateRequest& request) {
  return std::move(generate_batch(std::span(&request, 1)).front());
}

std::vector<Result<GenerateResult>> generate_batch(std::span<const GenerateRequest> requests) {
  std::vector<Run> runs(requests.begin(), requests.end());
  for (Run& run : runs) run.begin();
  while (true) {
    std::vector<Run*> running;
    for (Run& run : runs) {
      if (run.running()) running.push_back(&run);
    }
    if (running.empty()) break;
    step(running);
  }
  std::vector<Result<GenerateResult>> results;
  for (Run& run : runs) results.push_back(run.result());
  return results;
}

}  // namespace phial
