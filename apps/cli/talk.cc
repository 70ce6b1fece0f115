#include "talk.h"

#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "interrupt.h"
#include "reading.h"

namespace phial_cli {
namespace {

size_t common_length(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(at - a.begin());
}

bool is_role(const Json& message, std::string_view role) {
  const auto found = message.find("role");
  return found != message.end() && found->is_string() && found->get<std::string>() == role;
}

}  // namespace

Talk::Talk(const phial::Model& model, std::optional<std::string> template_text, int64_t context)
    : model_(model),
      context_(context > 0 ? context : model_context(model)),
      sequence_(model, context) {
  if (template_text) {
    template_.has_template = true;
    template_.template_text = std::move(*template_text);
  }
}

void Talk::set_system(const std::optional<std::string>& text) {
  if (!messages.empty() && is_role(messages.front(), "system")) messages.erase(0);
  if (text) {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", *text}});
  }
}

std::optional<std::string> Talk::system() const {
  if (messages.empty() || !is_role(messages.front(), "system")) return std::nullopt;
  return messages.front()["content"].get<std::string>();
}

bool Talk::take_answer() {
  if (messages.empty() || !is_role(messages.back(), "assistant")) return false;
  messages.erase(messages.size() - 1);
  return true;
}

bool Talk::take_turn() {
  size_t at = messages.size();
  while (at > 0 && !is_role(messages[at - 1], "user")) --at;
  if (at == 0) return false;
  while (messages.size() >= at) messages.erase(messages.size() - 1);
  forget_taken_back();
  return true;
}

// At once rather than with the next turn, so that no file is written that still holds it.
void Talk::forget_taken_back() {
  auto answers = std::ranges::count_if(
      messages, [](const Json& message) { return is_role(message, "assistant"); });
  size_t kept = 0;
  for (size_t i = 0; i < segments_.size() && answers > 0; ++i) {
    if (!segments_[i].answer) continue;
    kept = i + 1;
    --answers;
  }
  segments_.resize(kept);
  const auto length = static_cast<int64_t>(held_ids().size());
  sequence_.rewind(length);
  computed_ = std::min(computed_, length);
}

bool Talk::forget_oldest() {
  std::vector<size_t> questions;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (is_role(messages[i], "user")) questions.push_back(i);
  }
  if (questions.size() < 2) return false;
  for (size_t i = questions[0]; i < questions[1]; ++i) messages.erase(questions[0]);
  return true;
}

std::string Talk::prompt() const { return model_.render(messages.dump(), template_); }

std::vector<int32_t> Talk::ids_of(const std::vector<Segment>& segments) {
  std::vector<int32_t> ids;
  for (const Segment& segment : segments) {
    ids.insert(ids.end(), segment.ids.begin(), segment.ids.end());
  }
  return ids;
}

// The tokens of `text` from `begin` on, as they are in the whole text: a tokenizer may see the
// beginning of a text differently. Where the whole has no border there, those of the rest alone.
std::vector<int32_t> Talk::tokenize_from(const std::string& text, size_t begin) const {
  std::vector<int32_t> rest = model_.tokenize(std::string_view(text).substr(begin), false);
  if (begin == 0) return rest;
  const std::vector<int32_t> all = model_.tokenize(text, false);
  constexpr size_t kMostOff = 3;
  const size_t fewest = rest.size() - std::min(rest.size(), kMostOff);
  const size_t most = std::min(rest.size() + kMostOff, all.size());
  if (rest.size() <= all.size() && std::equal(rest.rbegin(), rest.rend(), all.rbegin())) {
    return rest;
  }
  for (size_t count = fewest; count <= most; ++count) {
    const std::vector<int32_t> before(all.begin(), all.end() - static_cast<ptrdiff_t>(count));
    if (model_.detokenize(before) == std::string_view(text).substr(0, begin)) {
      return {all.end() - static_cast<ptrdiff_t>(count), all.end()};
    }
  }
  return rest;
}

// A message holds what an answer said without its special tokens. Those that the model produced in
// between stay where they were: they are part of what it has read.
Segment Talk::said_by(const Segment& answer, std::string_view text) const {
  if (text.starts_with(answer.text)) return answer;
  Segment said;
  said.answer = true;
  said.text = model_.detokenize(answer.ids, /*skip_special_tokens=*/true);
  if (!text.starts_with(said.text)) return beginning_of(answer, text);
  said.ids = answer.ids;
  while (!said.ids.empty() &&
         model_.detokenize({said.ids.begin(), said.ids.end() - 1}, true) == said.text) {
    said.ids.pop_back();
  }
  // The special tokens that ended it, as far as the template ends it like that.
  while (said.ids.size() < answer.ids.size()) {
    const int32_t id = answer.ids[said.ids.size()];
    const std::string end = model_.detokenize({id});
    if (end.empty() || !text.substr(said.text.size()).starts_with(end)) break;
    said.ids.push_back(id);
    said.text += end;
  }
  return said;
}

// A template may cut white space off or leave out what was thought. It is right; the first tokens
// that agree with it stay.
Segment Talk::beginning_of(const Segment& answer, std::string_view text) const {
  Segment said;
  said.answer = true;
  phial::Detokenizer detokenizer(model_);
  std::string so_far;
  for (const int32_t id : answer.ids) {
    so_far += detokenizer.push(id);
    if (!text.starts_with(so_far)) break;
    said.ids.push_back(id);
  }
  // The last ones may hold the beginning of a character that has not come.
  while (!said.ids.empty()) {
    said.text = model_.detokenize(said.ids);
    if (text.starts_with(said.text)) return said;
    said.ids.pop_back();
  }
  return said;
}

Talk::Plan Talk::plan() const {
  const std::string text = prompt();
  Plan plan;
  size_t at = 0;
  for (const Segment& held : segments_) {
    const std::string_view rest = std::string_view(text).substr(at);
    Segment kept;
    if (held.answer) {
      kept = said_by(held, rest);
    } else if (rest.starts_with(held.text)) {
      kept = held;
    }
    const bool whole = kept.ids.size() == held.ids.size();
    if (!kept.ids.empty()) {
      at += kept.text.size();
      plan.total += kept.ids.size();
      plan.segments.push_back(std::move(kept));
    }
    if (!whole) break;
  }
  if (at < text.size()) {
    Segment rest{text.substr(at), tokenize_from(text, at), false};
    plan.total += rest.ids.size();
    plan.segments.push_back(std::move(rest));
  }
  std::vector<int32_t> wanted;
  wanted.reserve(plan.total);
  for (const Segment& segment : plan.segments) {
    wanted.insert(wanted.end(), segment.ids.begin(), segment.ids.end());
  }
  plan.kept = common_length(wanted, held_ids());
  return plan;
}

bool Talk::prepare(int64_t room, const std::vector<int32_t>& answer, TurnStats& stats) {
  Plan next = plan();
  stats.prompt_tokens = static_cast<int64_t>(next.total);
  stats.kept_tokens = std::min(computed_, static_cast<int64_t>(next.kept));
  if (next.total == 0) {
    throw phial::Error("invalid_input", "messages", "the template makes no tokens of them");
  }
  const int64_t taken = static_cast<int64_t>(next.total + answer.size());
  if (taken + room > context_) return false;
  if (!answer.empty()) {
    next.segments.push_back({model_.detokenize(answer), answer, true});
    next.total += answer.size();
  }
  sequence_.rewind(static_cast<int64_t>(next.kept));
  computed_ = std::min(computed_, static_cast<int64_t>(next.kept));
  segments_ = std::move(next.segments);
  const std::vector<int32_t> ids = held_ids();
  try {
    sequence_.append({ids.begin() + static_cast<ptrdiff_t>(next.kept), ids.end()});
  } catch (const phial::Error&) {
    restore({});
    throw;
  }
  return true;
}

phial::Answer Talk::answer(const phial::GenerateOptions& options,
                           const phial::Sequence::OnToken& on_token, const OnProgress& on_progress,
                           TurnStats& stats) {
  const InterruptScope interruptible(sequence_);
  if (on_progress && !read_in_pieces(on_progress, stats)) {
    phial::Answer cancelled;
    cancelled.finish = PHIAL_FINISH_CANCELLED;
    stats.finish = PHIAL_FINISH_CANCELLED;
    return cancelled;
  }
  const int64_t prompt_length = sequence_.length();
  const phial::Answers answers = sequence_.generate_outputs(options, on_token);
  phial::Answer result = answers.outputs.at(0);
  if (!result.ids.empty()) {
    computed_ = sequence_.length() - 1;
    try {
      segments_.push_back({model_.detokenize(result.ids), result.ids, true});
    } catch (const phial::Error&) {
      // An id without text, from the padding rows of the logits: no text could match this answer.
      sequence_.rewind(prompt_length);
      computed_ = std::min(computed_, prompt_length);
    }
  }
  stats.computed_tokens += answers.stats.prompt_tokens;
  stats.new_tokens += static_cast<int64_t>(result.ids.size());
  stats.prefill_ms += answers.stats.prefill_ms;
  stats.decode_ms += answers.stats.decode_ms;
  stats.finish = result.finish;
  stats.context_is_full = result.finish == PHIAL_FINISH_LENGTH &&
                          prompt_length + static_cast<int64_t>(result.ids.size()) >= context_;
  return result;
}

// Reads all of the prompt but its last piece, which is left to generate(). False when cancelled.
bool Talk::read_in_pieces(const OnProgress& on_progress, TurnStats& stats) {
  const int64_t begin = computed_;
  const ReadPart part =
      phial_cli::read_in_pieces(sequence_, begin, [&](int64_t done, int64_t total) {
        computed_ = begin + done;
        on_progress(done, total);
      });
  stats.computed_tokens += computed_ - begin;
  stats.prefill_ms += part.milliseconds;
  return !part.cancelled;
}

void Talk::restore(std::vector<Segment> segments) {
  segments_.clear();
  computed_ = 0;
  sequence_.rewind(0);
  sequence_.append(ids_of(segments));
  segments_ = std::move(segments);
}

bool Talk::restore(const std::vector<Segment>& segments, const std::string& cache_path) {
  // There need not be memory for both.
  { const phial::Sequence given_up = std::move(sequence_); }
  segments_.clear();
  computed_ = 0;
  try {
    sequence_ = phial::Sequence::load(model_, cache_path, context_);
  } catch (const phial::Error&) {
    sequence_ = phial::Sequence(model_, context_);
    throw;
  }
  if (sequence_.tokens() != ids_of(segments)) {
    sequence_.rewind(0);
    return false;
  }
  segments_ = segments;
  computed_ = sequence_.computed();
  return true;
}

}  // namespace phial_cli
