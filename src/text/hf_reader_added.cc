// added_tokens of tokenizer.json, and what tokenizer_config.json and special_tokens_map.json say of
// them.
#include <algorithm>

#include "text/hf_reader.h"

namespace phial {
namespace {

// A token as config files name it: a string, or an object with `content`. Null: neither.
const std::string* token_content(const Json& value) {
  const std::string* text = value.if_string();
  return text != nullptr ? text : json_member(value, "content").if_string();
}

}  // namespace

Result<AddedToken> HfReader::added_token(const Json& object, std::string_view path) const {
  AddedToken token;
  const Json& content = json_member(object, "content");
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
    PHIAL_ASSIGN(const int32_t id, id_value(json_member((*tokens)[i], "id"), path + ".id"));
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
    PHIAL_TRY(name_special_token(json_member(names, role), role));
  }
  if (const Json::Object* all = names.if_object()) {  // a model's own: "image_token" ...
    for (const auto& [role, value] : *all) {
      if (!role.ends_with("_token") || std::ranges::count(kRoles, role) > 0) continue;
      PHIAL_TRY(name_special_token(value, role));
    }
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json& more = json_member(names, key);
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
    const std::string* content = token_content(json_member(*names, role));
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

}  // namespace phial
