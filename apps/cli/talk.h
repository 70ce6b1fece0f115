// A conversation over one sequence. The messages are rendered anew for every turn, as the template
// wants, but only what the sequence does not hold yet is computed: what was read stays, and answers
// stay the tokens that the model produced, whatever their text would be tokenized to.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <phial/phial.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "output.h"

namespace phial_cli {

// A part of the rendered conversation and its tokens.
struct Segment {
  std::string text;  // with special tokens
  std::vector<int32_t> ids;
  bool answer = false;  // produced by the model rather than tokenized from `text`
};

// What a turn did.
struct TurnStats {
  int64_t prompt_tokens = 0;    // of the whole rendered conversation
  int64_t kept_tokens = 0;      // of these, read in earlier turns
  int64_t computed_tokens = 0;  // read by the model before its first new token
  int64_t new_tokens = 0;
  double prefill_ms = 0;
  double decode_ms = 0;
  phial_finish finish = PHIAL_FINISH_STOP;
  bool context_is_full = false;  // it ended because nothing more fits
};

class Talk {
 public:
  // `template_text` in place of the model's chat template; `context` 0: the model's.
  Talk(const phial::Model& model, std::optional<std::string> template_text, int64_t context);

  // [{"role","content"}...]; a system message, if there is one, comes first. May be changed freely
  // between turns.
  Json messages = Json::array();

  // The system message; nothing takes it away.
  void set_system(const std::optional<std::string>& text);
  std::optional<std::string> system() const;
  // Takes the last answer away, or the last question with its answer; false when there is none.
  bool take_answer();
  bool take_turn();
  // Forgets the oldest question and what answers it; false when only the last one is left.
  bool forget_oldest();

  // The prompt that the messages make. Throws phial::Error: not_found without a template,
  // template_error.
  std::string prompt() const;
  // Brings the sequence to hold that prompt, and behind it `answer`, of which nothing is computed
  // that is held already. False, and nothing has changed, when fewer than `room` tokens would be
  // left for more.
  bool prepare(int64_t room, const std::vector<int32_t>& answer, TurnStats& stats);

  using OnProgress = std::function<void(int64_t done, int64_t total)>;
  // Answers the prepared prompt with new tokens and adds them to what the sequence holds. With
  // `on_progress` a long prompt is read in pieces. A cancellation is no error.
  phial::Answer answer(const phial::GenerateOptions& options,
                       const phial::Sequence::OnToken& on_token, const OnProgress& on_progress,
                       TurnStats& stats);

  int64_t context() const { return context_; }
  int64_t length() const { return sequence_.length(); }
  // What the sequence holds, and the way to bring it back.
  const std::vector<Segment>& segments() const { return segments_; }
  void restore(std::vector<Segment> segments);
  // With what was computed of it, from a file that sequence().save() wrote. False when that holds
  // other tokens. Throws phial::Error. Then nothing is held.
  bool restore(const std::vector<Segment>& segments, const std::string& cache_path);

  const phial::Sequence& sequence() const { return sequence_; }

 private:
  struct Plan {
    std::vector<Segment> segments;
    size_t kept = 0;   // leading ids that the sequence holds
    size_t total = 0;  // ids in all
  };
  Plan plan() const;
  // Cuts the sequence behind the last answer that the messages still have.
  void forget_taken_back();
  bool read_in_pieces(const OnProgress& on_progress, TurnStats& stats);
  // The tokens of an answer that say what `text` begins with; its text is that beginning.
  Segment said_by(const Segment& answer, std::string_view text) const;
  Segment beginning_of(const Segment& answer, std::string_view text) const;
  std::vector<int32_t> tokenize_from(const std::string& text, size_t begin) const;
  std::vector<int32_t> held_ids() const { return ids_of(segments_); }
  static std::vector<int32_t> ids_of(const std::vector<Segment>& segments);

  const phial::Model& model_;
  phial::TemplateOptions template_;
  int64_t context_;
  phial::Sequence sequence_;
  std::vector<Segment> segments_;  // together the sequence's tokens
  int64_t computed_ = 0;           // of these, those that the engine has read
};

}  // namespace phial_cli
