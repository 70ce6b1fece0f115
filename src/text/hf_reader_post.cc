// The member `post_processor` of tokenizer.json: what is put around a single text.
#include <algorithm>

#include "text/hf_reader.h"

namespace phial {

Status HfReader::template_ids(const Json& special_tokens, const Json& name,
                              std::vector<int32_t>& out) const {
  constexpr std::string_view kPath = "post_processor.special_tokens";
  if (!name.if_string()) return wrong_kind("post_processor.single", "a token's name", name);
  const Json* token = special_tokens.find(*name.if_string());
  const Json::Array* ids = token ? json_member(*token, "ids").if_array() : nullptr;
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
  const Json& single = json_member(processor, "single");
  if (!single.if_array()) return wrong_kind("post_processor.single", "an array", single);
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  bool text_seen = false;
  for (const Json& item : *single.if_array()) {
    if (const Json* token = item.find("SpecialToken")) {
      PHIAL_TRY(template_ids(json_member(processor, "special_tokens"), json_member(*token, "id"),
                             text_seen ? after : before));
    } else if (const Json* sequence = item.find("Sequence")) {
      if (text_seen || json_member(*sequence, "id") != Json("A")) {
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

// BertProcessing and RobertaProcessing name a token with its id: ["[SEP]", 102].
Result<int32_t> HfReader::pair_id(const Json& processor, std::string_view key) const {
  const std::string path = "post_processor." + std::string(key);
  const Json& value = json_member(processor, key);
  const Json::Array* pair = value.if_array();
  if (pair == nullptr || pair->size() != 2) {
    return wrong_kind(path, "an array of a token and its id", value);
  }
  return id_value((*pair)[1], path);
}

Status HfReader::read_post_processor(const Json& post_processor) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(post_processor, "processors", "post_processor", steps, 0));
  for (const Json* step : steps) {
    const std::string_view type = json_type(*step);
    if (type == "TemplateProcessing") {
      PHIAL_TRY(read_template(*step));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      PHIAL_ASSIGN(const int32_t cls, pair_id(*step, "cls"));
      PHIAL_ASSIGN(const int32_t sep, pair_id(*step, "sep"));
      spec_.prefix_ids.insert(spec_.prefix_ids.begin(), cls);
      spec_.suffix_ids.push_back(sep);
    } else if (type != "ByteLevel") {  // which moves offsets only
      return unsupported(at("post_processor"),
                         "the type \"" + std::string(type) + "\" is not supported");
    }
  }
  return {};
}

Status HfReader::check_post_ids() const {
  size_t size = spec_.pieces.size();
  if (!spec_.added_tokens.empty()) {
    size = std::max(size, static_cast<size_t>(spec_.added_tokens.back().id) + 1);
  }
  for (const auto* ids : {&spec_.prefix_ids, &spec_.suffix_ids}) {
    for (const int32_t id : *ids) {
      if (static_cast<size_t>(id) < size) continue;
      return damaged(at("post_processor"), "the id " + std::to_string(id) +
                                               " is outside the vocabulary of " +
                                               std::to_string(size) + " ids");
    }
  }
  return {};
}

}  // namespace phial
