// Tokenizer, chat template and generation defaults out of a checkpoint of any format.
#include <fmt/format.h>

#include <algorithm>

#include "model/config_reader.h"
#include "model/model.h"
#include "text/slow_tokenizer.h"

namespace phial {
namespace {

// float32, or int32 in some old files.
Result<std::vector<double>> gguf_scores(const GgufMetadata& gguf) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  std::vector<double> out;
  const GgufMetadata::Value* value = gguf.find(kKey);
  if (value != nullptr && std::holds_alternative<GgufMetadata::Integers>(value->data)) {
    PHIAL_ASSIGN(const auto* integers, gguf.integers(kKey));
    for (const int64_t score : *integers) out.push_back(static_cast<double>(score));
    return out;
  }
  PHIAL_ASSIGN(const auto* reals, gguf.reals(kKey));
  if (reals != nullptr) out.assign(reals->begin(), reals->end());
  return out;
}

// GGUF files do not say which tokens take the white space to their right with them: in Phi-3's
// vocabulary all added ones do, but for these (tokenizer.json of microsoft/Phi-3-mini-4k-instruct).
void strip_as_phi3(TokenizerSpec& spec) {
  for (AddedToken& token : spec.added_tokens) {
    token.rstrip =
        token.content != "<unk>" && token.content != "<s>" && token.content != "<|endoftext|>";
  }
}

Result<GgufVocabulary> gguf_vocabulary(const GgufMetadata& gguf) {
  GgufVocabulary out;
  PHIAL_ASSIGN(const auto model, gguf.string("tokenizer.ggml.model"));
  if (!model) {
    return not_found(gguf.file + ": tokenizer.ggml.model", "this GGUF holds no tokenizer");
  }
  out.model = *model;
  PHIAL_ASSIGN(const auto pre, gguf.string("tokenizer.ggml.pre"));
  out.pre = pre.value_or("");
  PHIAL_ASSIGN(const auto* tokens, gguf.strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr) return damaged(gguf.file + ": tokenizer.ggml.tokens", "missing");
  out.tokens = *tokens;
  PHIAL_ASSIGN(const auto* types, gguf.integers("tokenizer.ggml.token_type"));
  if (types != nullptr) out.token_types = *types;
  PHIAL_ASSIGN(const auto* merges, gguf.strings("tokenizer.ggml.merges"));
  if (merges != nullptr) out.merges = *merges;
  PHIAL_ASSIGN(out.scores, gguf_scores(gguf));
  PHIAL_ASSIGN(const auto* charsmap, gguf.integers("tokenizer.ggml.precompiled_charsmap"));
  if (charsmap != nullptr) {
    for (const int64_t byte : *charsmap) out.precompiled_charsmap += static_cast<char>(byte);
  }
  PHIAL_ASSIGN(out.bos_id, gguf.integer("tokenizer.ggml.bos_token_id"));
  PHIAL_ASSIGN(out.eos_id, gguf.integer("tokenizer.ggml.eos_token_id"));
  PHIAL_ASSIGN(out.unk_id, gguf.integer("tokenizer.ggml.unknown_token_id"));
  PHIAL_ASSIGN(out.pad_id, gguf.integer("tokenizer.ggml.padding_token_id"));
  PHIAL_ASSIGN(out.cls_id, gguf.integer("tokenizer.ggml.cls_token_id"));
  PHIAL_ASSIGN(out.sep_id, gguf.integer("tokenizer.ggml.seperator_token_id"));  // as it is spelt
  PHIAL_ASSIGN(out.add_bos, gguf.boolean("tokenizer.ggml.add_bos_token"));
  PHIAL_ASSIGN(out.add_eos, gguf.boolean("tokenizer.ggml.add_eos_token"));
  PHIAL_ASSIGN(out.add_sep, gguf.boolean("tokenizer.ggml.add_sep_token"));
  PHIAL_ASSIGN(out.add_space_prefix, gguf.boolean("tokenizer.ggml.add_space_prefix"));
  PHIAL_ASSIGN(out.remove_extra_whitespaces,
               gguf.boolean("tokenizer.ggml.remove_extra_whitespaces"));
  return out;
}

// A special token as tokenizer_config.json spells it: a string, or an object with `content`.
const std::string* token_content(const Json* value) {
  if (value == nullptr) return nullptr;
  if (const std::string* text = value->if_string()) return text;
  const Json* content = value->find("content");
  return content != nullptr ? content->if_string() : nullptr;
}

// `value`: an id, a list of ids, or nothing.
Result<std::vector<int32_t>> read_ids(const Json* value, const std::string& where) {
  std::vector<int32_t> ids;
  if (value == nullptr || value->is_null()) return ids;
  const Json::Array single = {*value};
  const Json::Array& list = value->if_array() != nullptr ? *value->if_array() : single;
  for (const Json& item : list) {
    const int64_t* id = item.if_integer();
    if (id == nullptr || *id < 0 || *id > INT32_MAX) {
      return damaged(where,
                     fmt::format("expected token ids, got {}", printable(to_text(item), 60)));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<std::string> tokenizer_json_of_slow_files(const Checkpoint& checkpoint) {
  const bool byte_pairs = !checkpoint.vocab_json.empty() && !checkpoint.merges_txt.empty();
  if (checkpoint.sentence_piece_model.empty() && !byte_pairs) {
    return not_found(checkpoint.path,
                     "there is no tokenizer.json (nor vocab.json with merges.txt, nor a "
                     "SentencePiece tokenizer.model)",
                     "copy tokenizer.json from the model's page into the same folder");
  }
  SlowTokenizerFiles files;
  if (byte_pairs) {
    files.vocab_json = checkpoint.vocab_json;
    files.merges_txt = checkpoint.merges_txt;
  } else {
    files.sentence_piece_model = checkpoint.sentence_piece_model;
  }
  files.added_tokens = checkpoint.added_tokens;
  files.config = checkpoint.tokenizer_config;
  files.special_tokens_map = checkpoint.special_tokens_map;
  const Json* type = checkpoint.config.find("model_type");
  if (type != nullptr && type->if_string()) files.model_type = *type->if_string();
  return tokenizer_json_of(files);
}

constexpr const char* kDefaultName = "default";

// A later template of the same name replaces the earlier one.
void add_template(std::vector<NamedTemplate>& out, std::string_view name, std::string_view source) {
  for (NamedTemplate& present : out) {
    if (present.name != name) continue;
    present.source = source;
    return;
  }
  out.push_back({std::string(name), std::string(source)});
}

Result<std::vector<NamedTemplate>> gguf_templates(const GgufMetadata& gguf) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  std::vector<NamedTemplate> out;
  for (const GgufMetadata::Entry& entry : gguf.entries()) {
    const std::string_view key = entry.key;
    if (!key.starts_with(kKey) || (key.size() > kKey.size() && key[kKey.size()] != '.')) continue;
    PHIAL_ASSIGN(const auto source, gguf.string(key));
    if (source->empty()) continue;
    const std::string_view name = key.substr(std::min(key.size(), kKey.size() + 1));
    add_template(out, name.empty() ? kDefaultName : name, *source);
  }
  return out;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const Checkpoint& checkpoint) {
  if (checkpoint.format == Checkpoint::Format::gguf) {
    PHIAL_ASSIGN(const GgufVocabulary vocabulary, gguf_vocabulary(checkpoint.gguf));
    PHIAL_ASSIGN(TokenizerSpec spec, tokenizer_spec_from_gguf(vocabulary, checkpoint.gguf.file));
    PHIAL_ASSIGN(const auto architecture, checkpoint.gguf.string("general.architecture"));
    if (architecture == "phi3" && vocabulary.model == "llama") strip_as_phi3(spec);
    return Tokenizer::create(std::move(spec));
  }
  // A tokenizer may be given by the name of its file.
  const std::string name =
      checkpoint.path.ends_with(".json") ? checkpoint.path : std::string("tokenizer.json");
  std::string slow;
  if (checkpoint.tokenizer_json.empty()) {
    PHIAL_ASSIGN(slow, tokenizer_json_of_slow_files(checkpoint));
  }
  PHIAL_ASSIGN(
      TokenizerSpec spec,
      tokenizer_spec_from_hf(slow.empty() ? checkpoint.tokenizer_json : slow,
                             checkpoint.tokenizer_config, checkpoint.special_tokens_map, name));
  return Tokenizer::create(std::move(spec));
}

Result<std::vector<NamedTemplate>> chat_templates(const Checkpoint& checkpoint) {
  if (checkpoint.format == Checkpoint::Format::gguf) return gguf_templates(checkpoint.gguf);
  std::vector<NamedTemplate> out;
  if (!checkpoint.chat_template.empty()) out.push_back({kDefaultName, checkpoint.chat_template});
  for (const auto& [name, source] : checkpoint.additional_chat_templates) {
    add_template(out, name, source);
  }
  if (!out.empty()) return out;
  const Json* value = checkpoint.tokenizer_config.find("chat_template");
  if (value == nullptr || value->is_null()) return out;
  if (const std::string* text = value->if_string()) {
    if (!text->empty()) out.push_back({kDefaultName, *text});
    return out;
  }
  // Several templates: [{"name": "default", "template": "..."}, ...]
  constexpr const char* kWhere = "tokenizer_config.json: chat_template";
  const Json::Array* list = value->if_array();
  if (list == nullptr) {
    return damaged(kWhere, fmt::format("expected a string or a list of templates, found {}",
                                       value->kind_name()));
  }
  for (const Json& item : *list) {
    const Json* name = item.find("name");
    const Json* text = item.find("template");
    if (name == nullptr || text == nullptr || !name->if_string() || !text->if_string()) {
      return damaged(kWhere, "a template of the list lacks its \"name\" or \"template\"");
    }
    add_template(out, *name->if_string(), *text->if_string());
  }
  return out;
}

Result<NamedTemplate> choose_chat_template(const std::vector<NamedTemplate>& templates,
                                           std::string_view name, bool with_tools) {
  const auto find = [&](std::string_view wanted) -> const NamedTemplate* {
    for (const NamedTemplate& candidate : templates) {
      if (candidate.name == wanted) return &candidate;
    }
    return nullptr;
  };
  const NamedTemplate* chosen = find(name);
  if (name.empty()) {
    chosen = with_tools ? find("tool_use") : nullptr;
    if (chosen == nullptr) chosen = find(kDefaultName);
  }
  if (chosen != nullptr) return *chosen;
  std::vector<std::string> known;
  for (const NamedTemplate& candidate : templates) known.push_back(printable(candidate.name, 40));
  const std::string names = fmt::format("{}", fmt::join(known, ", "));
  if (name.empty()) {
    return not_found("chat template",
                     "the model has several and none of them is called \"default\"",
                     "name one: " + names);
  }
  return not_found("chat template",
                   fmt::format("the model has none called \"{}\"", printable(name, 60)),
                   "it has: " + names);
}

Json template_variables(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
  Json out{Json::Object()};
  if (checkpoint.format == Checkpoint::Format::gguf) {
    if (tokenizer == nullptr) return out;
    const TokenizerSpec& spec = tokenizer->spec();
    const std::pair<const char*, std::optional<int32_t>> roles[] = {{"bos_token", spec.bos_id},
                                                                    {"eos_token", spec.eos_id},
                                                                    {"unk_token", spec.unk_id},
                                                                    {"pad_token", spec.pad_id}};
    for (const auto& [name, id] : roles) {
      if (!id) continue;
      if (const auto piece = tokenizer->piece(*id)) out.set(name, std::string(*piece));
    }
    return out;
  }
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const std::string* content = token_content(checkpoint.tokenizer_config.find(name));
    if (content == nullptr) content = token_content(checkpoint.special_tokens_map.find(name));
    if (content != nullptr) out.set(name, *content);
  }
  return out;
}

Result<GenerationDefaults> generation_defaults(const Checkpoint& checkpoint,
                                               const Tokenizer* tokenizer) {
  GenerationDefaults out;
  if (checkpoint.format == Checkpoint::Format::safetensors) {
    const ConfigReader config(checkpoint.generation_config, "generation_config.json");
    PHIAL_ASSIGN(out, read_generation_config(checkpoint.generation_config));
    PHIAL_ASSIGN(out.end_ids,
                 read_ids(config.find("eos_token_id"), "generation_config.json: eos_token_id"));
    if (out.end_ids.empty()) {
      PHIAL_ASSIGN(out.end_ids,
                   read_ids(checkpoint.config.find("eos_token_id"), "config.json: eos_token_id"));
    }
  } else {
    // A turn's or message's end may differ from the text's end; llama.cpp stops at all three.
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                            "tokenizer.ggml.eom_token_id"}) {
      PHIAL_ASSIGN(const auto id, checkpoint.gguf.integer(key));
      if (!id) continue;
      if (*id < 0 || *id > INT32_MAX) {
        return damaged(checkpoint.gguf.file + ": " + key, "not a token id");
      }
      out.end_ids.push_back(static_cast<int32_t>(*id));
    }
  }
  if (out.end_ids.empty() && tokenizer != nullptr && tokenizer->spec().eos_id) {
    out.end_ids.push_back(*tokenizer->spec().eos_id);
  }
  return out;
}

}  // namespace phial
