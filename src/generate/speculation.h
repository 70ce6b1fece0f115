// Speculation: tokens that are likely to come next are drafted cheaply, checked together in one
// pass, and kept as far as the choice falls on them. What is generated stays the same, bit for bit,
// greedy or drawn: only the number of passes changes (Leviathan et al. 2023; the draws here are
// those that generation without drafts would make).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/decoder.h"
#include "engine/sequence.h"

namespace phial {

class Drafter {
 public:
  virtual ~Drafter() = default;
  // At most `limit` tokens that may follow `tokens`, which each call knows as the call before, with
  // others behind (what was drafted counts for nothing). Errors end the generation.
  virtual Result<std::vector<int32_t>> draft(std::span<const int32_t> tokens, int64_t limit,
                                             const CancelFlag* cancel) = 0;
};

// What followed the last occurrence of the tokens that stand at the end now: the longest run of
// kLongest to kShortest that occurs twice ("prompt lookup decoding", Saxena 2023).
class PromptLookup final : public Drafter {
 public:
  static constexpr int64_t kLongest = 4;
  static constexpr int64_t kShortest = 2;

  Result<std::vector<int32_t>> draft(std::span<const int32_t> tokens, int64_t limit,
                                     const CancelFlag* cancel) override;

 private:
  // For each length of a run: by its hash, the place behind its last occurrence but one at the end.
  std::array<std::unordered_map<uint64_t, int64_t>, kLongest - kShortest + 1> ends_;
  int64_t known_ = 0;  // tokens whose runs are in the maps
};

// The greedy answer of a smaller model with the same vocabulary.
class ModelDrafter final : public Drafter {
 public:
  // REQUIRES: check_assistant(*assistant, vocabulary of the model).ok()
  static Result<std::unique_ptr<ModelDrafter>> create(std::shared_ptr<Decoder> assistant,
                                                      int64_t context);

  Result<std::vector<int32_t>> draft(std::span<const int32_t> tokens, int64_t limit,
                                     const CancelFlag* cancel) override;

 private:
  explicit ModelDrafter(std::unique_ptr<Sequence> sequence) : sequence_(std::move(sequence)) {}
  std::unique_ptr<Sequence> sequence_;
};

// usage unless both have one vocabulary.
Status check_assistant(const Decoder& assistant, int64_t vocabulary);

// How many tokens to draft: as many as make the most tokens per second by what was measured so far,
// the share of drafts that were right and the time of passes by their rows; none where that would
// be slower than going without. Now and then it looks whether things have changed.
class DraftLength {
 public:
  // The best number of drafts, at most `limit`.
  int64_t choose(int64_t limit);
  // A pass with `drafted` drafts, of which the first `accepted` were right, took `seconds`, the
  // drafting included. When fewer than asked for were drafted, that is what counts.
  void learn(int64_t drafted, int64_t accepted, double seconds);

 private:
  // REQUIRES: a pass of one row was measured
  double seconds_of(int64_t rows) const;

  // Means that forget, of passes by rows; 0: not measured.
  std::array<double, kTogetherRows + 1> seconds_{};
  double hit_ = 0.7;     // how likely the next draft is right when those before were
  int64_t resting_ = 0;  // passes without drafts since they stopped paying
  int64_t rest_ = 16;    // passes until the next try
};

}  // namespace phial
