// Keys of the tokenizer and of chat templates (gguf-py's vocab.py and gguf_writer.py).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "model/gguf_target_parts.h"
#include "text/gguf_vocabulary.h"

namespace phial {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

// Ids that end an answer besides the end token. llama.cpp has two keys for such, eot and eom, and
// finds more by their text.
struct MoreEnds {
  std::optional<int32_t> turn, message;
};

MoreEnds more_ends(const std::vector<int32_t>& end_ids, std::optional<int32_t> eos_id,
                   const std::vector<std::string>& tokens) {
  const auto text_of = [&tokens](int32_t id) -> std::string_view {
    return tokens[static_cast<size_t>(id)];
  };
  constexpr std::string_view kTurnEnds[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"};
  const bool eos_ends_turns =
      eos_id && std::ranges::find(kTurnEnds, text_of(*eos_id)) != std::end(kTurnEnds);
  std::vector<int32_t> others;
  MoreEnds more;
  for (const int32_t id : end_ids) {
    if (id == eos_id || id < 0 || static_cast<size_t>(id) >= tokens.size()) continue;
    if (text_of(id) == "<|eom_id|>") {
      more.message = id;
    } else {
      others.push_back(id);
    }
  }
  for (const int32_t id : others) {
    // Where the end token ends turns, llama.cpp had better take that for one.
    const bool as_message = !more.message && (eos_ends_turns || more.turn);
    if (as_message) {
      more.message = id;
    } else if (!more.turn) {
      more.turn = id;
    }
  }
  return more;
}

class TextPairs {
 public:
  void add(std::string_view key, GgufPair::Value value) {
    pairs.push_back({std::string(kPrefix) + std::string(key), std::move(value)});
  }
  void add_id(std::string_view key, std::optional<int32_t> id) {
    if (id) add(key, static_cast<uint32_t>(*id));
  }
  void add_flag(std::string_view key, std::optional<bool> flag) {
    if (flag) add(key, *flag);
  }

  void add_vocabulary(OwnedGgufVocabulary&& v, const MoreEnds& ends) {
    add("model", std::move(v.model));
    add("pre", std::move(v.pre));
    add("tokens", std::move(v.tokens));
    if (!v.scores.empty()) add("scores", std::move(v.scores));
    add("token_type", std::move(v.token_types));
    if (!v.merges.empty()) add("merges", std::move(v.merges));
    if (!v.precompiled_charsmap.empty()) {
      add("precompiled_charsmap",
          std::vector<uint8_t>(v.precompiled_charsmap.begin(), v.precompiled_charsmap.end()));
    }
    add_id("bos_token_id", v.bos_id);
    add_id("eos_token_id", v.eos_id);
    add_id("eot_token_id", ends.turn);
    add_id("eom_token_id", ends.message);
    add_id("unknown_token_id", v.unk_id);
    add_id("seperator_token_id", v.sep_id);  // as it is spelt
    add_id("cls_token_id", v.cls_id);
    add_id("padding_token_id", v.pad_id);
    add_flag("add_bos_token", v.add_bos);
    add_flag("add_eos_token", v.add_eos);
    add_flag("add_sep_token", v.add_sep);
    add_flag("add_space_prefix", v.add_space_prefix);
    add_flag("remove_extra_whitespaces", v.remove_extra_whitespaces);
  }

  // Names of templates are part of keys: letters, digits and '_'.
  void add_templates(const std::vector<NamedTemplate>& templates) {
    constexpr std::string_view kKey = "tokenizer.chat_template";
    std::vector<std::string> names;
    for (const NamedTemplate& each : templates) {
      if (each.name == "default") {
        set_gguf_pair(pairs, kKey, each.source);
        continue;
      }
      std::string name = each.name;
      for (char& c : name) {
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      }
      while (std::ranges::find(names, name) != names.end()) name += '_';  // "a-b" beside "a_b"
      set_gguf_pair(pairs, fmt::format("{}.{}", kKey, name), each.source);
      names.push_back(std::move(name));
    }
    if (!names.empty()) set_gguf_pair(pairs, "tokenizer.chat_templates", std::move(names));
  }

  std::vector<GgufPair> pairs;
};

}  // namespace

Result<std::vector<GgufPair>> gguf_text_pairs(const Checkpoint& checkpoint,
                                              std::optional<int64_t> rows,
                                              const GgufTargetOptions& options) {
  TextPairs out;
  const auto tokenizer = open_tokenizer(checkpoint);
  if (!tokenizer.ok()) {
    const bool has_none = tokenizer.error().code == ErrorCode::not_found && rows;
    if (!has_none) return tokenizer.error();
    out.add("model", std::string("no_vocab"));
    return std::move(out.pairs);
  }
  PHIAL_ASSIGN(OwnedGgufVocabulary vocabulary,
               gguf_vocabulary_of((*tokenizer)->spec(), options.pre_tokenizer, "tokenizer.json"));
  const auto tokens = std::ssize(vocabulary.tokens);
  if (rows && tokens > *rows) {
    return damaged("tokenizer.json",
                   fmt::format("{} tokens, but the embedding has only {} rows: \"{}\" has none",
                               tokens, *rows, printable(vocabulary.tokens.back(), 60)),
                   "take the added tokens that the model does not know out of the tokenizer");
  }
  if (rows) pad_gguf_vocabulary(vocabulary, static_cast<size_t>(*rows));
  PHIAL_ASSIGN(const GenerationDefaults defaults,
               generation_defaults(checkpoint, tokenizer->get()));
  if (!vocabulary.eos_id && !defaults.end_ids.empty() && defaults.end_ids[0] < tokens) {
    vocabulary.eos_id = defaults.end_ids[0];
  }
  const MoreEnds ends = more_ends(defaults.end_ids, vocabulary.eos_id, vocabulary.tokens);
  out.add_vocabulary(std::move(vocabulary), ends);
  PHIAL_ASSIGN(const std::vector<NamedTemplate> templates, chat_templates(checkpoint));
  out.add_templates(templates);
  return std::move(out.pairs);
}

}  // namespace phial
