// The members `normalizer`, `pre_tokenizer` and `decoder` of tokenizer.json.
#include <algorithm>

#include "base/utf8.h"
#include "text/base64.h"
#include "text/hf_reader.h"
#include "text/normalizer.h"

namespace phial {
namespace {

Error unsupported_type(const std::string& where, const Json& step) {
  return unsupported(where, "the type \"" + std::string(json_type(step)) + "\" is not supported");
}

constexpr std::string_view kNormalizer = "normalizer";
constexpr std::string_view kPreTokenizer = "pre_tokenizer";
constexpr std::string_view kDecoder = "decoder";

}  // namespace

// The steps of a pipeline, sequences within sequences opened.
Status HfReader::flatten(const Json& step, std::string_view list_key, std::string_view path,
                         std::vector<const Json*>& out, int depth) const {
  constexpr int kMaxDepth = 8;
  if (step.is_null()) return {};
  if (!step.if_object()) return wrong_kind(path, "an object", step);
  if (json_type(step) != "Sequence") {
    out.push_back(&step);
    if (out.size() <= kMaxPipelineSteps) return {};
    return over_limit(at(path), "more than " + std::to_string(kMaxPipelineSteps) + " steps");
  }
  if (depth >= kMaxDepth) return over_limit(at(path), "sequences are nested too deep");
  const Json& list = json_member(step, list_key);
  if (!list.if_array()) {
    return wrong_kind(std::string(path) + "." + std::string(list_key), "an array", list);
  }
  for (const Json& inner : *list.if_array()) {
    PHIAL_TRY(flatten(inner, list_key, path, out, depth + 1));
  }
  return {};
}

Result<std::string> HfReader::text_value(const Json& object, std::string_view key,
                                         std::string_view path) const {
  const Json& value = json_member(object, key);
  if (value.if_string()) return *value.if_string();
  return wrong_kind(std::string(path) + "." + std::string(key), "a string", value);
}

Result<char32_t> HfReader::char_value(const Json& object, std::string_view key,
                                      std::string_view path) const {
  PHIAL_ASSIGN(const std::string text, text_value(object, key, path));
  const utf8::Decoded c = text.empty() ? utf8::Decoded{} : utf8::decode(text);
  if (text.empty() || c.length != text.size()) {
    return damaged(at(std::string(path) + "." + std::string(key)),
                   "expected one character, found \"" + text + "\"");
  }
  return c.code_point;
}

Result<TextPattern> HfReader::pattern_value(const Json& object, std::string_view path) const {
  const Json& pattern = json_member(object, "pattern");
  for (const bool is_regex : {false, true}) {
    const Json& text = json_member(pattern, is_regex ? "Regex" : "String");
    if (text.if_string()) return TextPattern{*text.if_string(), is_regex};
  }
  return wrong_kind(std::string(path) + ".pattern", "an object with String or Regex", pattern);
}

Result<SplitBehavior> HfReader::behavior_value(const Json& object, std::string_view path) const {
  constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  PHIAL_ASSIGN(const std::string text, text_value(object, "behavior", path));
  for (const auto& [name, behavior] : kBehaviors) {
    if (text == name) return behavior;
  }
  return unsupported(at(std::string(path) + ".behavior"), "\"" + text + "\" is not supported");
}

Result<PrependScheme> HfReader::prepend_value(const Json& metaspace, std::string_view path) const {
  constexpr std::pair<std::string_view, PrependScheme> kSchemes[] = {
      {"always", PrependScheme::always},
      {"first", PrependScheme::first},
      {"never", PrependScheme::never}};
  PrependScheme scheme = PrependScheme::always;
  if (const Json& named = json_member(metaspace, "prepend_scheme"); !named.is_null()) {
    PHIAL_ASSIGN(const std::string text, text_value(metaspace, "prepend_scheme", path));
    const auto* known =
        std::ranges::find(kSchemes, text, [](const auto& pair) { return pair.first; });
    if (known == std::end(kSchemes)) {
      return unsupported(at(std::string(path) + ".prepend_scheme"),
                         "\"" + text + "\" is not supported");
    }
    scheme = known->second;
  }
  // Files from before schemes have a flag, and `tokenizers` refuses those where they disagree.
  PHIAL_ASSIGN(const bool prefix, flag(metaspace, "add_prefix_space", path, true));
  if (!prefix && !json_member(metaspace, "prepend_scheme").is_null() &&
      scheme != PrependScheme::never) {
    return damaged(at(path), "add_prefix_space does not match prepend_scheme");
  }
  return prefix ? scheme : PrependScheme::never;
}

Result<normalizer::Step> HfReader::normalizer_step(const Json& step) const {
  using Form = normalizer::Unicode::Form;
  const std::string_view type = json_type(step);
  const auto truth = [&](std::string_view key) { return flag(step, key, kNormalizer, true); };
  if (type == "NFC") return normalizer::Step(normalizer::Unicode{Form::nfc});
  if (type == "NFD") return normalizer::Step(normalizer::Unicode{Form::nfd});
  if (type == "NFKC") return normalizer::Step(normalizer::Unicode{Form::nfkc});
  if (type == "NFKD") return normalizer::Step(normalizer::Unicode{Form::nfkd});
  if (type == "Lowercase") return normalizer::Step(normalizer::Lowercase());
  if (type == "StripAccents") return normalizer::Step(normalizer::StripAccents());
  if (type == "ByteLevel") return normalizer::Step(normalizer::ByteLevel());
  if (type == "Nmt") return normalizer::Step(normalizer::Nmt());
  if (type == "Strip") {
    PHIAL_ASSIGN(const bool left, truth("strip_left"));
    PHIAL_ASSIGN(const bool right, truth("strip_right"));
    return normalizer::Step(normalizer::Strip{left, right});
  }
  if (type == "Replace") {
    PHIAL_ASSIGN(TextPattern pattern, pattern_value(step, kNormalizer));
    PHIAL_ASSIGN(std::string content, text_value(step, "content", kNormalizer));
    return normalizer::Step(normalizer::Replace{std::move(pattern), std::move(content)});
  }
  if (type == "Prepend") {
    PHIAL_ASSIGN(std::string text, text_value(step, "prepend", kNormalizer));
    return normalizer::Step(normalizer::Prepend{std::move(text)});
  }
  if (type == "Precompiled") {
    PHIAL_ASSIGN(const std::string text, text_value(step, "precompiled_charsmap", kNormalizer));
    std::optional<std::string> bytes = base64_decode(text);
    if (!bytes) return damaged(at("normalizer.precompiled_charsmap"), "is not base64");
    return normalizer::Step(normalizer::Precompiled{*std::move(bytes)});
  }
  if (type == "BertNormalizer") {
    normalizer::Bert bert;
    PHIAL_ASSIGN(bert.clean_text, truth("clean_text"));
    PHIAL_ASSIGN(bert.handle_chinese_chars, truth("handle_chinese_chars"));
    PHIAL_ASSIGN(bert.lowercase, truth("lowercase"));
    PHIAL_ASSIGN(bert.strip_accents, flag(step, "strip_accents", kNormalizer, bert.lowercase));
    return normalizer::Step(bert);
  }
  return unsupported_type(at(kNormalizer), step);
}

Result<pre_tokenizer::Step> HfReader::pre_tokenizer_step(const Json& step) const {
  using Step = pre_tokenizer::Step;
  const std::string_view type = json_type(step);
  if (type == "Whitespace") return Step(pre_tokenizer::Whitespace());
  if (type == "WhitespaceSplit") return Step(pre_tokenizer::WhitespaceSplit());
  if (type == "BertPreTokenizer") return Step(pre_tokenizer::Bert());
  if (type == "UnicodeScripts") return Step(pre_tokenizer::UnicodeScripts());
  if (type == "ByteLevel") {
    pre_tokenizer::ByteLevel bytes;
    PHIAL_ASSIGN(bytes.add_prefix_space, flag(step, "add_prefix_space", kPreTokenizer, true));
    PHIAL_ASSIGN(bytes.use_regex, flag(step, "use_regex", kPreTokenizer, true));
    return Step(bytes);
  }
  if (type == "Metaspace") {
    pre_tokenizer::Metaspace metaspace;
    PHIAL_ASSIGN(metaspace.replacement, char_value(step, "replacement", kPreTokenizer));
    PHIAL_ASSIGN(metaspace.prepend, prepend_value(step, kPreTokenizer));
    PHIAL_ASSIGN(metaspace.split, flag(step, "split", kPreTokenizer, true));
    return Step(metaspace);
  }
  if (type == "Split") {
    pre_tokenizer::Split split;
    PHIAL_ASSIGN(split.behavior, behavior_value(step, kPreTokenizer));
    PHIAL_ASSIGN(split.pattern, pattern_value(step, kPreTokenizer));
    PHIAL_ASSIGN(split.invert, flag(step, "invert", kPreTokenizer, false));
    return Step(std::move(split));
  }
  if (type == "Punctuation") {
    pre_tokenizer::Punctuation punctuation;
    if (!json_member(step, "behavior").is_null()) {
      PHIAL_ASSIGN(punctuation.behavior, behavior_value(step, kPreTokenizer));
    }
    return Step(punctuation);
  }
  if (type == "Digits") {
    PHIAL_ASSIGN(const bool individual, flag(step, "individual_digits", kPreTokenizer, false));
    return Step(pre_tokenizer::Digits{individual});
  }
  if (type == "CharDelimiterSplit") {
    PHIAL_ASSIGN(const char32_t delimiter, char_value(step, "delimiter", kPreTokenizer));
    return Step(pre_tokenizer::CharDelimiter{delimiter});
  }
  if (type == "FixedLength") {
    pre_tokenizer::FixedLength fixed;
    if (const Json& length = json_member(step, "length"); !length.is_null()) {
      PHIAL_ASSIGN(fixed.chars, count_value(length, "pre_tokenizer.length"));
    }
    return Step(fixed);
  }
  return unsupported_type(at(kPreTokenizer), step);
}

Result<decoder::Step> HfReader::decoder_step(const Json& step) const {
  const std::string_view type = json_type(step);
  if (type == "ByteLevel") return decoder::Step(decoder::ByteLevel());
  if (type == "ByteFallback") return decoder::Step(decoder::ByteFallback());
  if (type == "Fuse") return decoder::Step(decoder::Fuse());
  if (type == "WordPiece") {
    decoder::WordPiece word_piece;
    PHIAL_ASSIGN(word_piece.prefix, text_value(step, "prefix", kDecoder));
    PHIAL_ASSIGN(word_piece.cleanup, flag(step, "cleanup", kDecoder, true));
    return decoder::Step(std::move(word_piece));
  }
  if (type == "Metaspace") {
    decoder::Metaspace metaspace;
    PHIAL_ASSIGN(metaspace.replacement, char_value(step, "replacement", kDecoder));
    PHIAL_ASSIGN(metaspace.prepend, prepend_value(step, kDecoder));
    return decoder::Step(metaspace);
  }
  if (type == "Strip") {
    decoder::Strip strip;
    PHIAL_ASSIGN(strip.content, char_value(step, "content", kDecoder));
    PHIAL_ASSIGN(strip.start, count_value(json_member(step, "start"), "decoder.start"));
    PHIAL_ASSIGN(strip.stop, count_value(json_member(step, "stop"), "decoder.stop"));
    return decoder::Step(strip);
  }
  if (type == "Replace") {
    PHIAL_ASSIGN(TextPattern pattern, pattern_value(step, kDecoder));
    PHIAL_ASSIGN(std::string content, text_value(step, "content", kDecoder));
    return decoder::Step(decoder::Replace{std::move(pattern), std::move(content)});
  }
  if (type == "BPEDecoder") {
    PHIAL_ASSIGN(std::string suffix, text_value(step, "suffix", kDecoder));
    return decoder::Step(decoder::Bpe{std::move(suffix)});
  }
  if (type == "CTC") {
    decoder::Ctc ctc;
    PHIAL_ASSIGN(ctc.pad_token, text_value(step, "pad_token", kDecoder));
    PHIAL_ASSIGN(ctc.word_delimiter_token, text_value(step, "word_delimiter_token", kDecoder));
    PHIAL_ASSIGN(ctc.cleanup, flag(step, "cleanup", kDecoder, true));
    return decoder::Step(std::move(ctc));
  }
  return unsupported_type(at(kDecoder), step);
}

Status HfReader::read_normalizer(const Json& normalizer) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(normalizer, "normalizers", kNormalizer, steps, 0));
  for (const Json* step : steps) {
    PHIAL_ASSIGN(normalizer::Step made, normalizer_step(*step));
    spec_.normalizer.push_back(std::move(made));
  }
  return {};
}

Status HfReader::read_pre_tokenizer(const Json& pre_tokenizer) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(pre_tokenizer, "pretokenizers", kPreTokenizer, steps, 0));
  for (const Json* step : steps) {
    PHIAL_ASSIGN(pre_tokenizer::Step made, pre_tokenizer_step(*step));
    spec_.pre_tokenizer.push_back(std::move(made));
  }
  return {};
}

Status HfReader::read_decoder(const Json& decoder) {
  std::vector<const Json*> steps;
  PHIAL_TRY(flatten(decoder, "decoders", kDecoder, steps, 0));
  for (const Json* step : steps) {
    PHIAL_ASSIGN(decoder::Step made, decoder_step(*step));
    spec_.decoder.push_back(std::move(made));
  }
  // A sequence of none is not the same as none at all, which puts spaces between pieces.
  if (steps.empty() && !decoder.is_null()) spec_.decoder.push_back(decoder::Fuse());
  return {};
}

}  // namespace phial
