#include "text/gguf_vocabulary.h"

#include <algorithm>
#include <unordered_set>

#include "base/utf8.h"
#include "text/byte_pieces.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/splitter.h"

namespace phial {
namespace {

enum TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

constexpr std::string_view kMark = "\u2581";  // SentencePiece's space
constexpr std::string_view kHint =
    "llama.cpp has no such tokenizer; a safetensors or MLX folder keeps it";

template <class T, class Variant>
const T* only(const std::vector<Variant>& steps) {
  return steps.size() == 1 ? std::get_if<T>(&steps[0]) : nullptr;
}

template <class T, class Variant>
bool has(const std::vector<Variant>& steps) {
  return std::ranges::any_of(steps, [](const Variant& s) { return std::holds_alternative<T>(s); });
}

bool marks_spaces(const normalizer::Step& step) {
  const auto* replace = std::get_if<normalizer::Replace>(&step);
  return replace != nullptr && !replace->pattern.is_regex && replace->pattern.text == " " &&
         replace->content == kMark;
}

// Gives every token from `begin` on that has no text one of its own.
void name_unused(OwnedGgufVocabulary& vocabulary, size_t begin) {
  std::vector<std::string>& tokens = vocabulary.tokens;
  const std::unordered_set<std::string> taken(tokens.begin(), tokens.end());
  for (size_t id = begin; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) continue;
    tokens[id] = "[PAD" + std::to_string(id) + "]";
    while (taken.contains(tokens[id])) tokens[id] += '_';
    vocabulary.token_types[id] = kUnused;
  }
}

class VocabularyWriter {
 public:
  VocabularyWriter(const TokenizerSpec& spec, std::string_view name) : spec_(spec), name_(name) {}

  Result<OwnedGgufVocabulary> write(std::string_view pre) {
    write_tokens();
    out_.unk_id = spec_.unk_id;
    out_.pad_id = spec_.pad_id;
    switch (spec_.model) {
      case TokenizerSpec::Model::bpe:
        if (has<pre_tokenizer::ByteLevel>(spec_.pre_tokenizer)) {
          PHIAL_TRY(write_byte_pairs(pre));
        } else {
          PHIAL_TRY(write_sentence_piece());
        }
        break;
      case TokenizerSpec::Model::unigram:
        PHIAL_TRY(write_unigram());
        break;
      case TokenizerSpec::Model::word_piece:
        PHIAL_TRY(write_word_pieces());
        return std::move(out_);
      case TokenizerSpec::Model::word_level:
        return refused("model", "the model WordLevel");
    }
    PHIAL_TRY(write_frame());
    return std::move(out_);
  }

 private:
  Error refused(std::string_view member, std::string_view what) const {
    return unsupported(name_ + ": " + std::string(member),
                       std::string(what) + " cannot be said in a GGUF file", kHint);
  }

  // What all models share: every id's text, and what kind of token it is.
  void write_tokens() {
    // Ids that only added tokens have come after those of the pieces.
    size_t count = spec_.pieces.size();
    if (!spec_.added_tokens.empty()) {
      count = std::max(count, static_cast<size_t>(spec_.added_tokens.back().id) + 1);
    }
    out_.tokens = spec_.pieces;
    out_.tokens.resize(count);
    out_.token_types.assign(count, kNormal);
    for (const AddedToken& token : spec_.added_tokens) {
      const auto id = static_cast<size_t>(token.id);
      out_.tokens[id] = token.content;
      out_.token_types[id] = token.special ? kControl : kUserDefined;
    }
    name_unused(out_, 0);
  }

  // Byte-level BPE, "gpt2".
  Status write_byte_pairs(std::string_view pre) {
    out_.model = "gpt2";
    const auto* form = only<normalizer::Unicode>(spec_.normalizer);
    const bool is_nfc = form != nullptr && form->form == normalizer::Unicode::Form::nfc;
    if (!spec_.normalizer.empty() && !is_nfc) return refused("normalizer", "its normalizer");
    if (!spec_.continuing_subword_prefix.empty() || !spec_.end_of_word_suffix.empty()) {
      return refused("model", "a prefix or suffix of subwords");
    }
    out_.pre = pre;
    if (pre.empty()) PHIAL_TRY(name_words());
    return write_merges();
  }

  Status name_words() {
    PHIAL_ASSIGN(const std::vector<Splitter> cuts, cuts_of_steps());
    const auto known = gguf_pre_tokenizer_name(cuts, spec_.ignore_merges);
    if (!known) {
      return unsupported(name_ + ": pre_tokenizer",
                         "llama.cpp has no name for this way to cut text into words",
                         "if you know of one, give it by --pre-tokenizer");
    }
    out_.pre = *known;
    return {};
  }

  Result<std::vector<Splitter>> cuts_of_steps() const {
    std::vector<Splitter> cuts;
    const auto cut = [&cuts](Splitter splitter) {
      // One name for both together.
      if (splitter == Splitter::gpt2 && !cuts.empty() && cuts.back() == Splitter::number) {
        cuts.back() = Splitter::smollm;
      } else {
        cuts.push_back(splitter);
      }
    };
    for (size_t i = 0; i < spec_.pre_tokenizer.size(); ++i) {
      const pre_tokenizer::Step& step = spec_.pre_tokenizer[i];
      if (const auto* bytes = std::get_if<pre_tokenizer::ByteLevel>(&step)) {
        if (bytes->add_prefix_space) return refused("pre_tokenizer", "a space before each text");
        if (bytes->use_regex) cut(Splitter::gpt2);
        continue;
      }
      const std::optional<Splitter> splitter = splitter_of_step(step);
      if (!splitter) {
        // Falcon's third step, which llama.cpp leaves out.
        const auto* digits = std::get_if<pre_tokenizer::Digits>(&step);
        if (digits != nullptr && cuts == std::vector{Splitter::falcon_signs, Splitter::gpt2}) {
          continue;
        }
        return refused("pre_tokenizer", "one of its steps");
      }
      cut(*splitter);
    }
    return cuts;
  }

  static std::optional<Splitter> splitter_of_step(const pre_tokenizer::Step& step) {
    if (const auto* words = std::get_if<pre_tokenizer::Words>(&step)) return words->splitter;
    if (const auto* split = std::get_if<pre_tokenizer::Split>(&step))
      return splitter_of_split(*split);
    if (const auto* digits = std::get_if<pre_tokenizer::Digits>(&step)) {
      if (digits->individual) return Splitter::number;
    }
    if (const auto* signs = std::get_if<pre_tokenizer::Punctuation>(&step)) {
      if (signs->behavior == SplitBehavior::contiguous) return Splitter::falcon_signs;
    }
    return std::nullopt;
  }

  Status write_merges() {
    std::vector<TokenizerSpec::Merge> merges = spec_.merges;
    std::ranges::stable_sort(merges, {}, &TokenizerSpec::Merge::rank);
    out_.merges.reserve(merges.size());
    for (const TokenizerSpec::Merge& merge : merges) {
      const std::string& left = spec_.pieces[static_cast<size_t>(merge.left)];
      const std::string& right = spec_.pieces[static_cast<size_t>(merge.right)];
      if (left.find(' ') != left.npos || right.find(' ') != right.npos) {
        return refused("model.merges", "a merge of a piece with a space");
      }
      out_.merges.push_back(left + " " + right);
    }
    return {};
  }

  // SentencePiece's BPE, "llama": a piece's score says when it is merged, whatever its parts.
  Status write_sentence_piece() {
    out_.model = "llama";
    out_.pre = "default";
    PHIAL_TRY(write_space_prefix());
    PHIAL_TRY(write_byte_types());
    if (spec_.unknown_piece_id) set_type(*spec_.unknown_piece_id, kUnknown);
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      if (out_.token_types[id] == kUserDefined) unmark(out_.tokens[id]);
    }
    if (!out_.unk_id) out_.unk_id = spec_.unknown_piece_id;
    return score_by_merges();
  }

  // User defined tokens are looked for in the text as it is.
  static void unmark(std::string& token) {
    for (size_t at = token.find(kMark); at != token.npos; at = token.find(kMark, at + 1)) {
      token.replace(at, kMark.size(), " ");
    }
  }

  void set_type(int32_t id, TokenType type) { out_.token_types[static_cast<size_t>(id)] = type; }

  Status write_space_prefix() {
    std::vector<normalizer::Step> steps = spec_.normalizer;
    PrependScheme prepend = PrependScheme::never;
    if (!steps.empty()) {
      const auto* first = std::get_if<normalizer::Prepend>(&steps[0]);
      if (first != nullptr && first->text == kMark) {
        prepend = PrependScheme::always;
        steps.erase(steps.begin());
      }
      if (steps.size() != 1 || !marks_spaces(steps[0])) {
        return refused("normalizer", "its normalizer");
      }
    }
    if (const auto* words = only<pre_tokenizer::Metaspace>(spec_.pre_tokenizer)) {
      if (words->replacement != U'\u2581' || (words->split && has_inner_marks())) {
        return refused("pre_tokenizer", "its Metaspace");
      }
      if (words->prepend != PrependScheme::never) prepend = words->prepend;
    } else if (steps.empty() || !finds_no_space(spec_.pre_tokenizer)) {
      return refused("pre_tokenizer", "how it cuts text into words");
    }
    out_.add_space_prefix = prepend != PrependScheme::never;
    return {};
  }

  // Gemma's: cuts at spaces, of which the normalizer has left none.
  static bool finds_no_space(const std::vector<pre_tokenizer::Step>& steps) {
    const auto* split = only<pre_tokenizer::Split>(steps);
    return steps.empty() ||
           (split != nullptr && !split->pattern.is_regex && split->pattern.text == " ");
  }

  bool has_inner_marks() const {
    return std::ranges::any_of(
        spec_.pieces, [](const std::string& piece) { return piece.find(kMark, 1) != piece.npos; });
  }

  Status write_byte_types() {
    int found = 0;
    for (size_t id = 0; id < spec_.pieces.size(); ++id) {
      // llama.cpp knows them spelled with capital digits only.
      const std::string& piece = spec_.pieces[id];
      const bool is_byte =
          byte_of_piece(piece) && piece.find_first_not_of("0123456789ABCDEF", 3) == 5;
      if (out_.token_types[id] != kNormal || !is_byte) continue;
      out_.token_types[id] = kByte;
      ++found;
    }
    if (found != 256 || !spec_.byte_fallback) {
      return refused("model", "BPE that falls back on no bytes");
    }
    return {};
  }

  // The sooner a piece can be made, the greater its score; no two have the same.
  Status score_by_merges() {
    constexpr uint32_t kNever = UINT32_MAX;
    std::vector<uint32_t> first(out_.tokens.size(), kNever);
    for (const TokenizerSpec::Merge& merge : spec_.merges) {
      uint32_t& rank = first[static_cast<size_t>(merge.result)];
      rank = std::min(rank, merge.rank);
    }
    std::vector<size_t> made;
    for (size_t id = 0; id < first.size(); ++id) {
      if (first[id] != kNever) made.push_back(id);
    }
    std::ranges::stable_sort(made, {}, [&first](size_t id) { return first[id]; });
    // Numbers below 2^24 are exact, and there are no more ids than that.
    const auto last = -static_cast<float>(made.size());
    out_.scores.assign(out_.tokens.size(), 0.0f);
    for (size_t place = 0; place < made.size(); ++place) {
      out_.scores[made[place]] = -static_cast<float>(place);
    }
    std::unordered_set<std::string_view> pieces;
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      if (out_.token_types[id] != kUnused) pieces.insert(out_.tokens[id]);
    }
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      if (out_.token_types[id] != kNormal || first[id] != kNever) continue;
      out_.scores[id] = last;
      if (can_be_made(out_.tokens[id], pieces)) {
        return refused("model.merges", "that \"" + out_.tokens[id] + "\" is the result of none");
      }
    }
    return {};
  }

  // Whether two pieces put together give this one.
  static bool can_be_made(std::string_view piece,
                          const std::unordered_set<std::string_view>& pieces) {
    for (size_t cut = utf8::decode(piece).length; cut < piece.size();
         cut += utf8::decode(piece.substr(cut)).length) {
      if (pieces.contains(piece.substr(0, cut)) && pieces.contains(piece.substr(cut))) return true;
    }
    return false;
  }

  // "t5".
  Status write_unigram() {
    out_.model = "t5";
    out_.pre = "default";
    if (spec_.byte_fallback) return refused("model", "unigram that falls back on bytes");
    std::vector<normalizer::Step> steps = spec_.normalizer;
    if (!steps.empty()) {
      if (const auto* charsmap = std::get_if<normalizer::Precompiled>(&steps[0])) {
        out_.precompiled_charsmap = charsmap->charsmap;
        steps.erase(steps.begin());
      }
    }
    std::vector<pre_tokenizer::Step> words = spec_.pre_tokenizer;
    out_.remove_extra_whitespaces =
        !words.empty() && std::holds_alternative<pre_tokenizer::WhitespaceSplit>(words[0]);
    if (*out_.remove_extra_whitespaces) words.erase(words.begin());
    const auto* metaspace = only<pre_tokenizer::Metaspace>(words);
    const bool marked = metaspace != nullptr && metaspace->replacement == U'\u2581';
    const bool only_marks = words.empty() && steps.size() == 1 && marks_spaces(steps[0]);
    if (!only_marks && (!marked || !steps.empty())) {
      return refused("normalizer", "how it prepares text");
    }
    out_.add_space_prefix = marked && metaspace->prepend != PrependScheme::never;
    out_.scores.assign(out_.tokens.size(), 0.0f);
    for (size_t id = 0; id < spec_.scores.size(); ++id) {
      out_.scores[id] = static_cast<float>(spec_.scores[id]);
    }
    if (spec_.unknown_piece_id) set_type(*spec_.unknown_piece_id, kUnknown);
    out_.unk_id = spec_.unknown_piece_id;
    return {};
  }

  // "bert": the file writes "\u2581word" for "word" and "end" for "##end".
  Status write_word_pieces() {
    out_.model = "bert";
    out_.pre = "default";
    const auto* bert = only<normalizer::Bert>(spec_.normalizer);
    const bool uncased = bert != nullptr && bert->clean_text && bert->handle_chinese_chars &&
                         bert->strip_accents && bert->lowercase;
    if (!uncased) return refused("normalizer", "a normalizer other than uncased BERT's");
    if (only<pre_tokenizer::Bert>(spec_.pre_tokenizer) == nullptr ||
        spec_.continuing_subword_prefix != "##") {
      return refused("pre_tokenizer", "how it cuts text into words");
    }
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      std::string& token = out_.tokens[id];
      if (out_.token_types[id] != kNormal) continue;
      if (token.starts_with("##")) {
        token.erase(0, 2);
      } else if (!(token.starts_with('[') && token.ends_with(']'))) {
        token.insert(0, kMark);
      }
    }
    if (spec_.prefix_ids.size() > 1 || spec_.suffix_ids.size() > 1) {
      return refused("post_processor", "more than one token before or after a text");
    }
    out_.add_bos = !spec_.prefix_ids.empty();
    out_.add_sep = !spec_.suffix_ids.empty();
    if (*out_.add_bos) out_.bos_id = out_.cls_id = spec_.prefix_ids[0];
    if (*out_.add_sep) out_.eos_id = out_.sep_id = spec_.suffix_ids[0];
    if (!out_.unk_id) out_.unk_id = spec_.unknown_piece_id;
    return {};
  }

  // Where a text gets a token before or after it, that is the beginning or end token.
  Status write_frame() {
    PHIAL_TRY(frame(spec_.prefix_ids, spec_.bos_id, out_.bos_id, out_.add_bos));
    return frame(spec_.suffix_ids, spec_.eos_id, out_.eos_id, out_.add_eos);
  }

  Status frame(const std::vector<int32_t>& ids, std::optional<int32_t> role,
               std::optional<int32_t>& id, std::optional<bool>& adds) const {
    id = role;
    adds = !ids.empty();
    if (ids.empty()) return {};
    if (!id) id = ids[0];
    if (ids.size() > 1 || ids[0] != *id) {
      return refused("post_processor", "what it puts around a text");
    }
    return {};
  }

  const TokenizerSpec& spec_;
  const std::string name_;
  OwnedGgufVocabulary out_;
};

}  // namespace

GgufVocabulary OwnedGgufVocabulary::view() const {
  GgufVocabulary out;
  out.model = model;
  out.pre = pre;
  out.tokens.assign(tokens.begin(), tokens.end());
  out.token_types.assign(token_types.begin(), token_types.end());
  out.merges.assign(merges.begin(), merges.end());
  out.scores.assign(scores.begin(), scores.end());
  out.precompiled_charsmap = precompiled_charsmap;
  out.bos_id = bos_id;
  out.eos_id = eos_id;
  out.unk_id = unk_id;
  out.pad_id = pad_id;
  out.cls_id = cls_id;
  out.sep_id = sep_id;
  out.add_bos = add_bos;
  out.add_eos = add_eos;
  out.add_sep = add_sep;
  out.add_space_prefix = add_space_prefix;
  out.remove_extra_whitespaces = remove_extra_whitespaces;
  return out;
}

Result<OwnedGgufVocabulary> gguf_vocabulary_of(const TokenizerSpec& spec, std::string_view pre,
                                               std::string_view name) {
  PHIAL_ASSIGN(OwnedGgufVocabulary written, VocabularyWriter(spec, name).write(pre));
  // What a file can hold is known best by who reads it: tokens that are there twice, merges that
  // put nothing together ... A name that the user gives need not be known here.
  GgufVocabulary view = written.view();
  if (!pre.empty()) view.pre = "default";
  const Result<TokenizerSpec> read = tokenizer_spec_from_gguf(view, name);
  if (!read.ok()) {
    return unsupported(read.error().where, "cannot be said in a GGUF file: " + read.error().message,
                       kHint);
  }
  return written;
}

void pad_gguf_vocabulary(OwnedGgufVocabulary& vocabulary, size_t count) {
  // What converters give tokens that are never used.
  constexpr float kPaddingScore = -10000.0f;
  const size_t begin = vocabulary.tokens.size();
  if (count <= begin) return;
  vocabulary.tokens.resize(count);
  vocabulary.token_types.resize(count, kUnused);
  if (!vocabulary.scores.empty()) vocabulary.scores.resize(count, kPaddingScore);
  name_unused(vocabulary, begin);
}

}  // namespace phial
