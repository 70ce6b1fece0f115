#include <algorithm>
#include <unordered_map>

#include "base/budget.h"
#include "text/splitter.h"
#include "text/tokenizer_spec.h"

namespace phial {
namespace {

const Json kNull;

const Json& member(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found == nullptr ? kNull : *found;
}

// What `type` says in the objects of tokenizer.json; empty when it does not.
std::string_view type_of(const Json& object) {
  const std::string* type = member(object, "type").if_string();
  return type == nullptr ? std::string_view() : std::string_view(*type);
}

// A token as config files name it: a string, or an object with `content`. Null: neither.
const std::string* token_content(const Json& value) {
  const std::string* text = value.if_string();
  return text != nullptr ? text : member(value, "content").if_string();
}

class HfReader {
 public:
  HfReader(std::string_view name, uint64_t json_bytes)
      : name_(name), budget_(ParseBudget::for_input(json_bytes)) {}

  Result<TokenizerSpec> read(std::string_view text, const Json& config,
                             const Json& special_tokens_map);

 private:
  std::string at(std::string_view path) const { return name_ + ": " + std::string(path); }
  Error wrong_kind(std::string_view path, std::string_view expected, const Json& found) const {
    return damaged(at(path), "expected " + std::string(expected) + ", found " + found.kind_name());
  }
  // The boolean member `key`; `missing` when there is none or null.
  Result<bool> flag(const Json& object, std::string_view key, std::string_view path,
                    bool missing) const;
  Result<int32_t> id_value(const Json& value, std::string_view path) const;

  // model
  Status read_model(const Json& model);
  Status check_model_options(const Json& model) const;
  Status read_vocab(const Json& vocab, size_t added_count);
  Status read_merges(const Json& merges);
  Result<std::pair<std::string_view, std::string_view>> merge_pair(const Json& merge, size_t rank,
                                                                   bool as_text) const;
  Status read_unknown(const Json& model);
  std::optional<int32_t> vocab_id(std::string_view piece) const;

  // added tokens
  Result<AddedToken> added_token(const Json& object, std::string_view path) const;
  Status read_added_tokens(const Json& list);
  Status read_added_tokens_decoder(const Json& object);
  Status add_token(AddedToken token, std::optional<int32_t> declared_id, std::string_view path);
  AddedToken* find_added(std::string_view content);
  Status name_special_tokens(const Json& names);
  Status name_special_token(const Json& value, std::string_view path);
  void read_roles(const Json& config, const Json& map);
  std::optional<int32_t> id_of_role(std::string_view role, const Json& config,
                                    const Json& map) const;

  // the steps around the model
  Status read_normalizer(const Json& normalizer) const;
  Status flatten(const Json& step, std::string_view list_key, std::string_view path,
                 std::vector<const Json*>& out, int depth) const;
  Status read_pre_tokenizer(const Json& pre_tokenizer);
  Result<Splitter> split_pattern(const Json& split) const;
  Status read_decoder(const Json& decoder) const;
  Status read_post_processor(const Json& post_processor);
  Status read_template(const Json& processor);
  Status template_ids(const Json& special_tokens, const Json& name,
                      std::vector<int32_t>& out) const;

  std::string name_;
  ParseBudget budget_;
  TokenizerSpec spec_;
  std::unordered_map<std::string_view, int32_t> vocab_;  // keys point into spec_.pieces
  size_t vocab_count_ = 0;
  int32_t next_added_id_ = 0;
  std::unordered_map<std::string, size_t> added_index_;  // by content, into spec_.added_tokens
};

Result<bool> HfReader::flag(const Json& object, std::string_view key, std::string_view path,
                            bool missing) const {
  const Json& value = member(object, key);
  if (value.is_null()) return missing;
  const bool* truth = value.if_bool();
  if (truth == nullptr) {
    return wrong_kind(std::string(path) + "." + std::string(key), "a boolean", value);
  }
  return *truth;
}

Result<int32_t> HfReader::id_value(const Json& value, std::string_view path) const {
  const int64_t* id = value.if_integer();
  if (id == nullptr) return wrong_kind(path, "an integer", value);
  if (*id < 0 || *id >= static_cast<int64_t>(kMaxTokenIds)) {
    return damaged(at(path), "the id " + std::to_string(*id) + " is out of range");
  }
  return static_cast<int32_t>(*id);
}

Status HfReader::check_model_options(const Json& model) const {
  const std::string_view type = type_of(model);
  // Files from before the member `type` are told by their merges.
  const bool untyped_bpe = member(model, "type").is_null() && model.find("merges") != nullptr;
  if (type != "BPE" && !untyped_bpe) {
    return unsupported(at("model"),
                       "the type \"" + std::string(type) + "\" is not supported, only BPE is");
  }
  const Json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout.number() != 0.0) {
    return unsupported(at("model.dropout"), "dropout is not supported");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = member(model, key);
    if (!affix.is_null() && affix != Json("")) {
      return unsupported(at("model." + std::string(key)), "is not supported");
    }
  }
  PHIAL_ASSIGN(const bool byte_fallback, flag(model, "byte_fallback", "model", false));
  if (byte_fallback) return unsupported(at("model.byte_fallback"), "is not supported");
  return {};
}

Status HfReader::read_vocab(const Json& vocab, size_t added_count) {
  const Json::Object* object = vocab.if_object();
  if (object == nullptr) return wrong_kind("model.vocab", "an object", vocab);
  size_t size = 0;
  for (const auto& [piece, value] : *object) {
    if (piece.empty()) return damaged(at("model.vocab"), "a piece is empty");
    PHIAL_ASSIGN(const int32_t id, id_value(value, "model.vocab[\"" + piece + "\"]"));
    size = std::max(size, static_cast<size_t>(id) + 1);
  }
  vocab_count_ = object->size();
  // Ids may have gaps, but a file must not ask for more memory than it is worth.
  constexpr size_t kMaxIdsPerPiece = 4;
  if (size > kMaxIdsPerPiece * (vocab_count_ + added_count)) {
    return damaged(at("model.vocab"), "its largest id is " + std::to_string(size - 1) + ", for " +
                                          std::to_string(vocab_count_) + " pieces");
  }
  PHIAL_TRY(budget_.charge(size * (sizeof(std::string) + 4 * sizeof(void*)), name_));
  spec_.pieces.resize(size);
  vocab_.reserve(vocab_count_);
  for (const auto& [piece, value] : *object) {
    const auto id = static_cast<int32_t>(*value.if_integer());
    std::string& slot = spec_.pieces[static_cast<size_t>(id)];
    if (!slot.empty()) {
      return damaged(at("model.vocab"), "the id " + std::to_string(id) + " is given to \"" + slot +
                                            "\" and to \"" + piece + "\"");
    }
    PHIAL_TRY(budget_.charge(piece.size(), name_));
    slot = piece;
    vocab_.emplace(slot, id);
  }
  next_added_id_ = static_cast<int32_t>(vocab_count_);
  return {};
}

std::optional<int32_t> HfReader::vocab_id(std::string_view piece) const {
  const auto found = vocab_.find(piece);
  if (found == vocab_.end()) return std::nullopt;
  return found->second;
}

Result<std::pair<std::string_view, std::string_view>> HfReader::merge_pair(const Json& merge,
                                                                           size_t rank,
                                                                           bool as_text) const {
  const std::string path = "model.merges[" + std::to_string(rank) + "]";
  if (as_text) {
    const std::string* text = merge.if_string();
    if (text == nullptr) return wrong_kind(path, "a string", merge);
    const size_t space = text->find(' ');
    if (space == std::string::npos || text->find(' ', space + 1) != std::string::npos) {
      return damaged(at(path),
                     "expected two pieces with one space between, found \"" + *text + "\"");
    }
    const std::string_view view = *text;
    return std::pair(view.substr(0, space), view.substr(space + 1));
  }
  const Json::Array* pair = merge.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[0].if_string() || !(*pair)[1].if_string()) {
    return damaged(at(path), "expected an array of two strings");
  }
  return std::pair<std::string_view, std::string_view>(*(*pair)[0].if_string(),
                                                       *(*pair)[1].if_string());
}

Status HfReader::read_merges(const Json& merges) {
  const Json::Array* list = merges.if_array();
  if (list == nullptr) return wrong_kind("model.merges", "an array", merges);
  PHIAL_TRY(budget_.charge(list->size() * sizeof(TokenizerSpec::Merge), name_));
  spec_.merges.reserve(list->size());
  const bool as_text = !list->empty() && list->front().if_string() != nullptr;
  std::string result;
  for (size_t rank = 0; rank < list->size(); ++rank) {
    const Json& merge = (*list)[rank];
    // Left over from merges.txt, and skipped by `tokenizers` in this form only.
    if (as_text && merge.if_string() && merge.if_string()->starts_with("#version")) continue;
    PHIAL_ASSIGN(const auto pair, merge_pair(merge, rank, as_text));
    result.assign(pair.first);
    result += pair.second;
    const std::optional<int32_t> ids[] = {vocab_id(pair.first), vocab_id(pair.second),
                                          vocab_id(result)};
    const std::string_view texts[] = {pair.first, pair.second, result};
    for (size_t i = 0; i < 3; ++i) {
      if (ids[i]) continue;
      return damaged(at("model.merges[" + std::to_string(rank) + "]"),
                     "the piece \"" + std::string(texts[i]) + "\" is not in the vocabulary");
    }
    spec_.merges.push_back({*ids[0], *ids[1], *ids[2]});
  }
  return {};
}

Status HfReader::read_unknown(const Json& model) {
  PHIAL_ASSIGN(spec_.fuse_unknown, flag(model, "fuse_unk", "model", false));
  const Json& unknown = member(model, "unk_token");
  if (unknown.is_null()) return {};
  const std::string* piece = unknown.if_string();
  if (piece == nullptr) return wrong_kind("model.unk_token", "a string", unknown);
  // Files with all 256 bytes name unknown tokens that do not exist, and never need them.
  spec_.unknown_piece_id = vocab_id(*piece);
  return {};
}

Status HfReader::read_model(const Json& model) {
  if (!model.if_object()) return wrong_kind("model", "an object", model);
  PHIAL_ASSIGN(spec_.ignore_merges, flag(model, "ignore_merges", "model", false));
  PHIAL_TRY(read_merges(member(model, "merges")));
  return read_unknown(model);
}

Result<AddedToken> HfReader::added_token(const Json& object, std::string_view path) const {
  AddedToken token;
  const Json& content = member(object, "content");
  if (!object.if_object()) return wrong_kind(path, "an object", object);
  if (!content.if_string()) return wrong_kind(std::string(path) + ".content", "a string", content);
  token.content = *content.if_string();
  if (token.content.empty()) return damaged(at(path), "the token is empty");
  PHIAL_ASSIGN(token.special, flag(object, "special", path, false));
  PHIAL_ASSIGN(token.lstrip, flag(object, "lstrip", path, false));
  PHIAL_ASSIGN(token.rstrip, flag(object, "rstrip", path, false));
  PHIAL_ASSIGN(token.single_word, flag(object, "single_word", path, false));
  PHIAL_ASSIGN(token.normalized, flag(object, "normalized", path, !token.special));
  return token;
}

AddedToken* HfReader::find_added(std::string_view content) {
  const auto found = added_index_.find(std::string(content));
  return found == added_index_.end() ? nullptr : &spec_.added_tokens[found->second];
}

// As AddedVocabulary::add_tokens: a token known by its content gets new flags, a piece of the
// vocabulary keeps its id, all others are numbered on. A file that declares another id than that
// would mean two things to two readers.
Status HfReader::add_token(AddedToken token, std::optional<int32_t> declared_id,
                           std::string_view path) {
  AddedToken* known = find_added(token.content);
  const std::optional<int32_t> in_vocab = vocab_id(token.content);
  token.id = known ? known->id : in_vocab.value_or(next_added_id_);
  if (declared_id && *declared_id != token.id) {
    return damaged(at(path), "\"" + token.content + "\" is said to have the id " +
                                 std::to_string(*declared_id) + ", the vocabulary gives it " +
                                 std::to_string(token.id));
  }
  if (known != nullptr) {
    *known = std::move(token);
    return {};
  }
  if (!in_vocab) {
    const auto id = static_cast<size_t>(token.id);
    if (id < spec_.pieces.size() && !spec_.pieces[id].empty()) {
      return damaged(at(path), "the id " + std::to_string(id) + " is given to \"" +
                                   spec_.pieces[id] + "\" and to \"" + token.content + "\"");
    }
  }
  PHIAL_TRY(budget_.charge(2 * (sizeof(AddedToken) + token.content.size()), name_));
  added_index_.emplace(token.content, spec_.added_tokens.size());
  if (static_cast<size_t>(token.id) >= vocab_count_) {
    next_added_id_ = std::max(next_added_id_, token.id + 1);
  }
  spec_.added_tokens.push_back(std::move(token));
  return {};
}

Status HfReader::read_added_tokens(const Json& list) {
  if (list.is_null()) return {};
  const Json::Array* tokens = list.if_array();
  if (tokens == nullptr) return wrong_kind("added_tokens", "an array", list);
  for (size_t i = 0; i < tokens->size(); ++i) {
    const std::string path = "added_tokens[" + std::to_string(i) + "]";
    PHIAL_ASSIGN(AddedToken token, added_token((*tokens)[i], path));
    PHIAL_ASSIGN(const int32_t id, id_value(member((*tokens)[i], "id"), path + ".id"));
    if (find_added(token.content) != nullptr) {
      return damaged(at(path), "\"" + token.content + "\" is added twice");
    }
    PHIAL_TRY(add_token(std::move(token), id, path));
  }
  return {};
}

// tokenizer_config.json's own list: transformers adds what differs from tokenizer.json's.
Status HfReader::read_added_tokens_decoder(const Json& object) {
  if (object.is_null()) return {};
  const Json::Object* tokens = object.if_object();
  if (tokens == nullptr) return wrong_kind("added_tokens_decoder", "an object", object);
  std::vector<std::pair<int32_t, AddedToken>> sorted;
  for (const auto& [key, value] : *tokens) {
    const std::string path = "added_tokens_decoder[\"" + key + "\"]";
    const bool digits =
        !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return damaged(at(path), "expected an id");
    PHIAL_ASSIGN(AddedToken token, added_token(value, path));
    PHIAL_ASSIGN(const int32_t id, id_value(Json(int64_t{std::stol(key)}), path));
    sorted.emplace_back(id, std::move(token));
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [id, token] : sorted) {
    PHIAL_TRY(add_token(std::move(token), id, "added_tokens_decoder"));
  }
  return {};
}

// transformers makes the tokens that the config files name special, and numbers on those that the
// vocabulary does not have.
Status HfReader::name_special_token(const Json& value, std::string_view path) {
  const std::string* content = token_content(value);
  if (content == nullptr || content->empty()) return {};
  AddedToken token{.content = *content};
  if (value.if_object()) {
    PHIAL_ASSIGN(token, added_token(value, path));
  } else if (const AddedToken* known = find_added(*content)) {
    token = *known;
  }
  token.special = true;
  return add_token(std::move(token), std::nullopt, path);
}

Status HfReader::name_special_tokens(const Json& names) {
  constexpr std::string_view kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
  for (const std::string_view role : kRoles) {
    PHIAL_TRY(name_special_token(member(names, role), role));
  }
  if (const Json::Object* all = names.if_object()) {  // a model's own: "image_token" ...
    for (const auto& [role, value] : *all) {
      if (!role.ends_with("_token") || std::ranges::count(kRoles, role) > 0) continue;
      PHIAL_TRY(name_special_token(value, role));
    }
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json& more = member(names, key);
    if (const Json::Array* list = more.if_array()) {
      for (const Json& value : *list) PHIAL_TRY(name_special_token(value, key));
    } else if (const Json::Object* object = more.if_object()) {
      for (const auto& [role, value] : *object) PHIAL_TRY(name_special_token(value, role));
    }
  }
  return {};
}

std::optional<int32_t> HfReader::id_of_role(std::string_view role, const Json& config,
                                            const Json& map) const {
  for (const Json* names : {&map, &config}) {
    const std::string* content = token_content(member(*names, role));
    if (content == nullptr) continue;
    const auto added = added_index_.find(*content);
    if (added != added_index_.end()) return spec_.added_tokens[added->second].id;
    return vocab_id(*content);
  }
  return std::nullopt;
}

void HfReader::read_roles(const Json& config, const Json& map) {
  spec_.bos_id = id_of_role("bos_token", config, map);
  spec_.eos_id = id_of_role("eos_token", config, map);
  spec_.pad_id = id_of_role("pad_token", config, map);
  spec_.unk_id = id_of_role("unk_token", config, map);
}

// The steps of a pipeline, sequences within sequences opened.
Status HfReader::flatten(const Json& step, std::string_view list_key, std::string_view path,
                         std::vector<const Json*>& out, int depth) const {
  constexpr int kMaxDepth = 8;
  if (step.is_null()) return {};
  if (!step.if_object()) return wrong_kind(path, "an object", step);
  if (type_of(step) != "Sequence") {
    out.push_back(&step);
    return {};
  }
  if (depth >= kMaxDepth) return over_limit(at(path), "sequences are nested too deep");
  const Json& list = member(step, list_key);
  if (!list.if_array()) {
    return wrong_kind(std::string(path) + "." + std::string(list_key), "an array", list);
  }
  for (const Json& inner : *list.if_array()) {
    PHIAL_TRY(flatten(inner, list_key, path, out, depth + 1));
  }
  return {};
}

Error unsupported_type(std::string where, const Json& step) {
  return unsupported(where, "the type \"" + std::string(type_of(step)) + "\" is not supported");
}

Status HfReader::read_normalizer(const Json& normalizer) const {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(normalizer, "normalizers", "normalizer", steps, 0));
  if (!steps.empty()) return unsupported_type(at("normalizer"), *steps[0]);
  return {};
}

Result<Splitter> HfReader::split_pattern(const Json& split) const {
  const Json& pattern = member(split, "pattern");
  const std::string* regex = member(pattern, "Regex").if_string();
  const std::string* behavior = member(split, "behavior").if_string();
  if (behavior == nullptr) {
    return wrong_kind("pre_tokenizer.behavior", "a string", member(split, "behavior"));
  }
  PHIAL_ASSIGN(const bool invert, flag(split, "invert", "pre_tokenizer", false));
  // As the known patterns match everywhere, keeping only the matches is the same.
  const bool isolates = (*behavior == "Isolated" && !invert) || (*behavior == "Removed" && invert);
  if (!isolates) {
    return unsupported(at("pre_tokenizer"), "a Split with behavior \"" + *behavior +
                                                "\" is not supported, only Isolated is");
  }
  const std::optional<Splitter> known =
      regex == nullptr ? std::nullopt : splitter_of_pattern(*regex);
  if (!known) {
    return unsupported(at("pre_tokenizer"), "a Split at this pattern is not supported: " +
                                                (regex ? *regex : std::string("a fixed string")));
  }
  return *known;
}

Status HfReader::read_pre_tokenizer(const Json& pre_tokenizer) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(pre_tokenizer, "pretokenizers", "pre_tokenizer", steps, 0));
  if (steps.empty() || type_of(*steps.back()) != "ByteLevel") {
    if (!steps.empty()) return unsupported_type(at("pre_tokenizer"), *steps.back());
    return unsupported(at("pre_tokenizer"), "is missing; only byte-level BPE is supported");
  }
  bool digits = false;
  std::optional<Splitter> words;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    const Json& step = *steps[i];
    if (type_of(step) == "Digits" && !digits && !words) {
      PHIAL_ASSIGN(digits, flag(step, "individual_digits", "pre_tokenizer", false));
      if (!digits) return unsupported(at("pre_tokenizer"), "Digits in groups are not supported");
    } else if (type_of(step) == "Split" && !words) {
      PHIAL_ASSIGN(words, split_pattern(step));
    } else {
      return unsupported_type(at("pre_tokenizer"), step);
    }
  }
  PHIAL_ASSIGN(const bool use_regex, flag(*steps.back(), "use_regex", "pre_tokenizer", true));
  PHIAL_ASSIGN(spec_.add_prefix_space,
               flag(*steps.back(), "add_prefix_space", "pre_tokenizer", true));
  if (use_regex && words) {
    return unsupported(at("pre_tokenizer"), "a Split before ByteLevel's own is not supported");
  }
  if (spec_.add_prefix_space && steps.size() > 1) {
    return unsupported(at("pre_tokenizer.add_prefix_space"),
                       "is not supported behind another pre-tokenizer");
  }
  spec_.splitter = words.value_or(use_regex ? Splitter::gpt2 : Splitter::none);
  if (digits) {
    if (spec_.splitter != Splitter::gpt2) {
      return unsupported(at("pre_tokenizer"), "Digits before this pattern are not supported");
    }
    spec_.splitter = Splitter::smollm;
  }
  return {};
}

Status HfReader::read_decoder(const Json& decoder) const {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(decoder, "decoders", "decoder", steps, 0));
  if (steps.empty()) return unsupported(at("decoder"), "is missing; only ByteLevel is supported");
  for (const Json* step : steps) {
    if (type_of(*step) != "ByteLevel" || steps.size() > 1) {
      return unsupported_type(at("decoder"), *step);
    }
  }
  return {};
}

Status HfReader::template_ids(const Json& special_tokens, const Json& name,
                              std::vector<int32_t>& out) const {
  constexpr std::string_view kPath = "post_processor.special_tokens";
  if (!name.if_string()) return wrong_kind("post_processor.single", "a token's name", name);
  const Json* token = special_tokens.find(*name.if_string());
  const Json::Array* ids = token ? member(*token, "ids").if_array() : nullptr;
  if (ids == nullptr) {
    return damaged(at(kPath), "no ids for \"" + *name.if_string() + "\"");
  }
  for (const Json& value : *ids) {
    PHIAL_ASSIGN(const int32_t id, id_value(value, kPath));
    out.push_back(id);
  }
  return {};
}

Status HfReader::read_template(const Json& processor) {
  const Json& single = member(processor, "single");
  if (!single.if_array()) return wrong_kind("post_processor.single", "an array", single);
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  bool text_seen = false;
  for (const Json& item : *single.if_array()) {
    if (const Json* token = item.find("SpecialToken")) {
      PHIAL_TRY(template_ids(member(processor, "special_tokens"), member(*token, "id"),
                             text_seen ? after : before));
    } else if (const Json* sequence = item.find("Sequence")) {
      if (text_seen || member(*sequence, "id") != Json("A")) {
        return damaged(at("post_processor.single"), "expected the sequence A once");
      }
      text_seen = true;
    } else {
      return damaged(at("post_processor.single"), "expected a SpecialToken or a Sequence");
    }
  }
  if (!text_seen) return damaged(at("post_processor.single"), "expected the sequence A once");
  // A later processor works on what an earlier one made.
  spec_.prefix_ids.insert(spec_.prefix_ids.begin(), before.begin(), before.end());
  spec_.suffix_ids.insert(spec_.suffix_ids.end(), after.begin(), after.end());
  return {};
}

Status HfReader::read_post_processor(const Json& post_processor) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(post_processor, "processors", "post_processor", steps, 0));
  for (const Json* step : steps) {
    if (type_of(*step) == "TemplateProcessing") {
      PHIAL_TRY(read_template(*step));
    } else if (type_of(*step) != "ByteLevel") {  // which moves offsets only
      return unsupported_type(at("post_processor"), *step);
    }
  }
  return {};
}

Result<TokenizerSpec> HfReader::read(std::string_view text, const Json& config,
                                     const Json& special_tokens_map) {
  PHIAL_ASSIGN(const Json root, parse_json(text, name_, budget_));
  if (!root.if_object()) return damaged(name_, "expected a JSON object");
  const Json& model = member(root, "model");
  const Json& added = member(root, "added_tokens");
  const size_t added_count = added.if_array() ? added.if_array()->size() : 0;
  if (!model.if_object()) return wrong_kind("model", "an object", model);
  PHIAL_TRY(check_model_options(model));
  PHIAL_TRY(read_normalizer(member(root, "normalizer")));
  PHIAL_TRY(read_pre_tokenizer(member(root, "pre_tokenizer")));
  PHIAL_TRY(read_decoder(member(root, "decoder")));
  PHIAL_TRY(read_vocab(member(model, "vocab"), added_count));
  PHIAL_TRY(read_model(model));
  PHIAL_TRY(read_added_tokens(added));
  // transformers reads special_tokens_map.json only beside a config of the older form.
  const bool new_config = !member(config, "added_tokens_decoder").is_null();
  const Json& map = new_config ? kNull : special_tokens_map;
  PHIAL_TRY(read_added_tokens_decoder(member(config, "added_tokens_decoder")));
  PHIAL_TRY(name_special_tokens(config));
  PHIAL_TRY(name_special_tokens(map));
  read_roles(config, map);
  PHIAL_TRY(read_post_processor(member(root, "post_processor")));
  // transformers 5 cleans up after BPE only when asked in so many words.
  PHIAL_ASSIGN(const bool clean_up, flag(config, "clean_up_tokenization_spaces", "config", false));
  PHIAL_ASSIGN(
      const bool even_for_bpe,
      flag(config, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
           "config", false));
  spec_.clean_up_tokenization_spaces = clean_up && even_for_bpe;
  std::sort(spec_.added_tokens.begin(), spec_.added_tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  size_t size = spec_.pieces.size();
  if (!spec_.added_tokens.empty()) {
    size = std::max(size, static_cast<size_t>(spec_.added_tokens.back().id) + 1);
  }
  for (const auto* ids : {&spec_.prefix_ids, &spec_.suffix_ids}) {
    for (const int32_t id : *ids) {
      if (static_cast<size_t>(id) >= size) {
        return damaged(at("post_processor"), "the id " + std::to_string(id) +
                                                 " is outside the vocabulary of " +
                                                 std::to_string(size) + " ids");
      }
    }
  }
  return std::move(spec_);
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec_from_hf(std::string_view tokenizer_json, const Json& config,
                                             const Json& special_tokens_map,
                                             std::string_view name) {
  return HfReader(name, tokenizer_json.size()).read(tokenizer_json, config, special_tokens_map);
}

}  // namespace phial
