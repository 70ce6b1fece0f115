#include "model/hf_target_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <type_traits>

#include "base/utf8.h"
#include "text/base64.h"
#include "text/splitter.h"

namespace phial {
namespace {

using Members = std::initializer_list<std::pair<const char*, Json>>;

Json object_of(Members members) {
  Json::Object out;
  for (const auto& [key, value] : members) out.emplace_back(key, value);
  return Json(std::move(out));
}

Json step_of(const char* type, Members members = {}) {
  Json::Object out = {{"type", Json(type)}};
  for (const auto& [key, value] : members) out.emplace_back(key, value);
  return Json(std::move(out));
}

std::string text_of(char32_t character) {
  std::string text;
  utf8::append(text, character);
  return text;
}

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

// Steps as they stand in a file: null, one, or a Sequence of several.
Json sequence_of(Json::Array steps, const char* key) {
  if (steps.empty()) return Json();
  if (steps.size() == 1) return std::move(steps.front());
  return step_of("Sequence", {{key, Json(std::move(steps))}});
}

Json pattern_json(const TextPattern& pattern) {
  return object_of({{pattern.is_regex ? "Regex" : "String", pattern.text}});
}

Json replace_json(const TextPattern& pattern, const std::string& content) {
  return step_of("Replace", {{"pattern", pattern_json(pattern)}, {"content", content}});
}

Json metaspace_json(char32_t replacement, PrependScheme prepend, bool split) {
  constexpr const char* kSchemes[] = {"always", "first", "never"};
  return step_of("Metaspace", {{"replacement", text_of(replacement)},
                               {"prepend_scheme", kSchemes[static_cast<size_t>(prepend)]},
                               {"split", split}});
}

Json byte_level_json(bool add_prefix_space, bool use_regex) {
  return step_of(
      "ByteLevel",
      {{"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}});
}

Json split_json(Splitter splitter) {
  for (const SplitterPattern& known : splitter_patterns()) {
    if (known.splitter != splitter) continue;
    return step_of("Split", {{"pattern", pattern_json({std::string(known.regex), true})},
                             {"behavior", "Isolated"},
                             {"invert", false}});
  }
  return Json();
}

// Splitters that are no single expression in a file.
std::vector<Splitter> parts_of(Splitter splitter) {
  using enum Splitter;
  if (splitter == none) return {};
  if (splitter == smollm) return {number, gpt2};
  if (splitter == llamacpp_default) return {default_signs, gpt2, numbers, digits_3};
  return {splitter};
}

// Each of these appends what a step is in a file, and says whether it is one that GGUF vocabularies
// lead to.
bool append_step(const normalizer::Step& step, Json::Array& out) {
  if (const auto* replace = std::get_if<normalizer::Replace>(&step)) {
    out.push_back(replace_json(replace->pattern, replace->content));
  } else if (const auto* prepend = std::get_if<normalizer::Prepend>(&step)) {
    out.push_back(step_of("Prepend", {{"prepend", prepend->text}}));
  } else if (const auto* unicode = std::get_if<normalizer::Unicode>(&step);
             unicode != nullptr && unicode->form == normalizer::Unicode::Form::nfc) {
    out.push_back(step_of("NFC"));
  } else if (const auto* precompiled = std::get_if<normalizer::Precompiled>(&step)) {
    out.push_back(
        step_of("Precompiled", {{"precompiled_charsmap", base64_encode(precompiled->charsmap)}}));
  } else {
    return false;
  }
  return true;
}

bool append_step(const pre_tokenizer::Step& step, Json::Array& out) {
  if (const auto* words = std::get_if<pre_tokenizer::Words>(&step)) {
    for (const Splitter part : parts_of(words->splitter)) {
      out.push_back(split_json(part));
      if (out.back().is_null()) return false;
    }
  } else if (const auto* bytes = std::get_if<pre_tokenizer::ByteLevel>(&step)) {
    out.push_back(byte_level_json(bytes->add_prefix_space, bytes->use_regex));
  } else if (const auto* metaspace = std::get_if<pre_tokenizer::Metaspace>(&step)) {
    out.push_back(metaspace_json(metaspace->replacement, metaspace->prepend, metaspace->split));
  } else {
    return false;
  }
  return true;
}

bool append_step(const decoder::Step& step, Json::Array& out) {
  if (std::holds_alternative<decoder::ByteLevel>(step)) {
    out.push_back(byte_level_json(true, true));
  } else if (std::holds_alternative<decoder::ByteFallback>(step)) {
    out.push_back(step_of("ByteFallback"));
  } else if (std::holds_alternative<decoder::Fuse>(step)) {
    out.push_back(step_of("Fuse"));
  } else if (const auto* replace = std::get_if<decoder::Replace>(&step)) {
    out.push_back(replace_json(replace->pattern, replace->content));
  } else if (const auto* metaspace = std::get_if<decoder::Metaspace>(&step)) {
    out.push_back(metaspace_json(metaspace->replacement, metaspace->prepend, true));
  } else if (const auto* strip = std::get_if<decoder::Strip>(&step)) {
    out.push_back(step_of("Strip", {{"content", text_of(strip->content)},
                                    {"start", static_cast<uint64_t>(strip->start)},
                                    {"stop", static_cast<uint64_t>(strip->stop)}}));
  } else {
    return false;
  }
  return true;
}

template <class Step>
Result<Json> steps_json(const std::vector<Step>& steps, const char* key, const std::string& where) {
  Json::Array out;
  for (const Step& step : steps) {
    if (!append_step(step, out)) {
      return unsupported(where,
                         fmt::format("tokenizer.json cannot be written: a step of the {}", key));
    }
  }
  return sequence_of(std::move(out), key);
}

std::string piece_of(const TokenizerSpec& spec, int32_t id) {
  for (const AddedToken& token : spec.added_tokens) {
    if (token.id == id) return token.content;
  }
  const auto at = static_cast<size_t>(id);
  return at < spec.pieces.size() ? spec.pieces[at] : std::string();
}

Json added_tokens_json(const TokenizerSpec& spec) {
  Json::Array out;
  for (const AddedToken& token : spec.added_tokens) {
    out.push_back(object_of({{"id", static_cast<int64_t>(token.id)},
                             {"content", token.content},
                             {"single_word", token.single_word},
                             {"lstrip", token.lstrip},
                             {"rstrip", token.rstrip},
                             {"normalized", token.normalized},
                             {"special", token.special}}));
  }
  return Json(std::move(out));
}

// TemplateProcessing: what is put around one text, and around each of two.
Json post_processor_json(const TokenizerSpec& spec) {
  if (spec.prefix_ids.empty() && spec.suffix_ids.empty()) return Json();
  Json::Object tokens;
  const auto framed = [&](const char* name, int type_id, Json::Array& out) {
    const auto append = [&](const std::vector<int32_t>& ids) {
      for (const int32_t id : ids) {
        const std::string piece = piece_of(spec, id);
        out.push_back(
            object_of({{"SpecialToken", object_of({{"id", piece}, {"type_id", type_id}})}}));
        const auto same = [&](const Json::Member& token) { return token.first == piece; };
        if (std::any_of(tokens.begin(), tokens.end(), same)) continue;
        tokens.emplace_back(piece, object_of({{"id", piece},
                                              {"ids", Json::Array{static_cast<int64_t>(id)}},
                                              {"tokens", Json::Array{piece}}}));
      }
    };
    append(spec.prefix_ids);
    out.push_back(object_of({{"Sequence", object_of({{"id", name}, {"type_id", type_id}})}}));
    append(spec.suffix_ids);
  };
  Json::Array single, pair;
  framed("A", 0, single);
  framed("A", 0, pair);
  framed("B", 1, pair);
  return step_of("TemplateProcessing", {{"single", Json(std::move(single))},
                                        {"pair", Json(std::move(pair))},
                                        {"special_tokens", Json(std::move(tokens))}});
}

Json merges_json(const TokenizerSpec& spec) {
  const auto size_of = [&](int32_t id) {
    const std::string& piece = spec.pieces[static_cast<size_t>(id)];
    return std::count_if(piece.begin(), piece.end(), [](char c) { return (c & 0xc0) != 0x80; });
  };
  std::vector<TokenizerSpec::Merge> merges = spec.merges;
  std::stable_sort(merges.begin(), merges.end(), [&](const auto& a, const auto& b) {
    return std::tuple(a.rank, size_of(b.left), size_of(b.right)) <
           std::tuple(b.rank, size_of(a.left), size_of(a.right));
  });
  Json::Array out;
  out.reserve(merges.size());
  for (const TokenizerSpec::Merge& merge : merges) {
    out.push_back(Json::Array{spec.pieces[static_cast<size_t>(merge.left)],
                              spec.pieces[static_cast<size_t>(merge.right)]});
  }
  return Json(std::move(out));
}

Json bpe_json(const TokenizerSpec& spec) {
  Json::Object vocab;
  vocab.reserve(spec.pieces.size());
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (!spec.pieces[id].empty()) vocab.emplace_back(spec.pieces[id], static_cast<int64_t>(id));
  }
  const Json unknown =
      spec.unknown_piece_id ? Json(piece_of(spec, *spec.unknown_piece_id)) : Json();
  return step_of("BPE",
                 {{"dropout", Json()},
                  {"unk_token", unknown},
                  {"continuing_subword_prefix", text_or_null(spec.continuing_subword_prefix)},
                  {"end_of_word_suffix", text_or_null(spec.end_of_word_suffix)},
                  {"fuse_unk", spec.fuse_unknown},
                  {"byte_fallback", spec.byte_fallback},
                  {"ignore_merges", spec.ignore_merges},
                  {"vocab", Json(std::move(vocab))},
                  {"merges", merges_json(spec)}});
}

// A list leaves no id out: one without a piece gets a name that is far too unlikely to be chosen.
Json unigram_json(const TokenizerSpec& spec) {
  constexpr double kNever = -1e6;
  Json::Array vocab;
  vocab.reserve(spec.pieces.size());
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    vocab.push_back(piece.empty() ? Json::Array{fmt::format("[PAD{}]", id), kNever}
                                  : Json::Array{piece, spec.scores[id]});
  }
  const Json unknown =
      spec.unknown_piece_id ? Json(static_cast<int64_t>(*spec.unknown_piece_id)) : Json();
  return step_of("Unigram", {{"unk_id", unknown},
                             {"vocab", Json(std::move(vocab))},
                             {"byte_fallback", spec.byte_fallback}});
}

bool is_added(const TokenizerSpec& spec, int32_t id) {
  return std::any_of(spec.added_tokens.begin(), spec.added_tokens.end(),
                     [id](const AddedToken& token) { return token.id == id && token.special; });
}

// Special tokens by role. One that the vocabulary holds as ordinary text would become special by
// being named here, and would no longer be what it was.
Json roles_json(const TokenizerSpec& spec) {
  const std::pair<const char*, std::optional<int32_t>> roles[] = {{"bos_token", spec.bos_id},
                                                                  {"eos_token", spec.eos_id},
                                                                  {"pad_token", spec.pad_id},
                                                                  {"unk_token", spec.unk_id}};
  Json out{Json::Object()};
  for (const auto& [name, id] : roles) {
    if (id && is_added(spec, *id)) out.set(name, piece_of(spec, *id));
  }
  return out;
}

Json templates_json(const std::vector<NamedTemplate>& templates) {
  if (templates.size() == 1 && templates.front().name == "default") {
    return Json(templates.front().source);
  }
  Json::Array out;
  for (const NamedTemplate& each : templates) {
    out.push_back(object_of({{"name", each.name}, {"template", each.source}}));
  }
  return Json(std::move(out));
}

}  // namespace

Result<std::string> tokenizer_json_text(const TokenizerSpec& spec, const std::string& where) {
  if (spec.model != TokenizerSpec::Model::bpe && spec.model != TokenizerSpec::Model::unigram) {
    return unsupported(where, "a vocabulary of this kind cannot be written as tokenizer.json");
  }
  const bool is_bpe = spec.model == TokenizerSpec::Model::bpe;
  PHIAL_ASSIGN(Json normalizer, steps_json(spec.normalizer, "normalizers", where));
  PHIAL_ASSIGN(Json pre_tokenizer, steps_json(spec.pre_tokenizer, "pretokenizers", where));
  PHIAL_ASSIGN(Json decoder, steps_json(spec.decoder, "decoders", where));
  return to_text(object_of({{"version", "1.0"},
                            {"truncation", Json()},
                            {"padding", Json()},
                            {"added_tokens", added_tokens_json(spec)},
                            {"normalizer", normalizer},
                            {"pre_tokenizer", pre_tokenizer},
                            {"post_processor", post_processor_json(spec)},
                            {"decoder", decoder},
                            {"model", is_bpe ? bpe_json(spec) : unigram_json(spec)}}),
                 2) +
         "\n";
}

Result<std::vector<TargetFile>> hf_tokenizer_files(const TokenizerSpec& spec,
                                                   const std::vector<NamedTemplate>& templates,
                                                   int64_t context, const std::string& where) {
  PHIAL_ASSIGN(std::string tokenizer, tokenizer_json_text(spec, where));
  const Json roles = roles_json(spec);
  Json config;
  const bool adds_bos = spec.bos_id && !spec.prefix_ids.empty();
  const bool adds_eos = spec.eos_id && !spec.suffix_ids.empty();
  config.set("add_bos_token", adds_bos);
  config.set("add_eos_token", adds_eos);
  for (const auto& [name, token] : *roles.if_object()) config.set(name, token);
  if (!templates.empty()) config.set("chat_template", templates_json(templates));
  config.set("clean_up_tokenization_spaces", false);
  config.set("model_max_length", context);
  config.set("tokenizer_class", "PreTrainedTokenizerFast");
  return std::vector<TargetFile>{{"special_tokens_map.json", to_text(roles, 2) + "\n"},
                                 {"tokenizer.json", std::move(tokenizer)},
                                 {"tokenizer_config.json", to_text(config, 2) + "\n"}};
}

}  // namespace phial
