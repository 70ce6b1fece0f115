#include <algorithm>

#include "text/hf_reader.h"

namespace phial {
namespace {

const Json kNull;

}  // namespace

const Json& json_member(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found == nullptr ? kNull : *found;
}

std::string_view json_type(const Json& object) {
  const std::string* type = json_member(object, "type").if_string();
  return type == nullptr ? std::string_view() : std::string_view(*type);
}

Result<bool> HfReader::flag(const Json& object, std::string_view key, std::string_view path,
                            bool missing) const {
  const Json& value = json_member(object, key);
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

Result<size_t> HfReader::count_value(const Json& value, std::string_view path) const {
  const int64_t* count = value.if_integer();
  if (count == nullptr || *count < 0) return wrong_kind(path, "a count", value);
  return static_cast<size_t>(*count);
}

Result<TokenizerSpec> HfReader::read(std::string_view text, const Json& config,
                                     const Json& special_tokens_map) {
  PHIAL_ASSIGN(const Json root, parse_json(text, name_, budget_));
  if (!root.if_object()) return damaged(name_, "expected a JSON object");
  const Json& model = json_member(root, "model");
  const Json& added = json_member(root, "added_tokens");
  const size_t added_count = added.if_array() ? added.if_array()->size() : 0;
  if (model.is_null()) {
    return damaged(name_, "holds no tokenizer: the member \"model\" is missing",
                   "give a tokenizer.json, or the folder of the model");
  }
  if (!model.if_object()) return wrong_kind("model", "an object", model);
  PHIAL_TRY(read_normalizer(json_member(root, "normalizer")));
  PHIAL_TRY(read_pre_tokenizer(json_member(root, "pre_tokenizer")));
  PHIAL_TRY(read_decoder(json_member(root, "decoder")));
  PHIAL_TRY(read_model(model, added_count));
  PHIAL_TRY(read_added_tokens(added));
  // transformers reads special_tokens_map.json only beside a config of the older form.
  const bool new_config = !json_member(config, "added_tokens_decoder").is_null();
  const Json& map = new_config ? kNull : special_tokens_map;
  PHIAL_TRY(read_added_tokens_decoder(json_member(config, "added_tokens_decoder")));
  PHIAL_TRY(name_special_tokens(config));
  PHIAL_TRY(name_special_tokens(map));
  read_roles(config, map);
  PHIAL_TRY(read_post_processor(json_member(root, "post_processor")));
  // transformers 5 cleans up after BPE only when asked in so many words.
  const bool is_bpe = spec_.model == TokenizerSpec::Model::bpe;
  PHIAL_ASSIGN(const bool clean_up, flag(config, "clean_up_tokenization_spaces", "config", false));
  PHIAL_ASSIGN(
      const bool even_for_bpe,
      flag(config, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
           "config", false));
  spec_.clean_up_tokenization_spaces = clean_up && (even_for_bpe || !is_bpe);
  std::sort(spec_.added_tokens.begin(), spec_.added_tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  PHIAL_TRY(check_post_ids());
  return std::move(spec_);
}

Result<TokenizerSpec> tokenizer_spec_from_hf(std::string_view tokenizer_json, const Json& config,
                                             const Json& special_tokens_map,
                                             std::string_view name) {
  return HfReader(name, tokenizer_json.size()).read(tokenizer_json, config, special_tokens_map);
}

}  // namespace phial
