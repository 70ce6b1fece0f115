#include <unordered_map>

#include "base/utf8.h"
#include "text/tokenizer_spec.h"

namespace phial {
namespace {

struct PreTokenizer {
  std::string_view name;
  Splitter splitter;
  bool ignore_merges;
  bool add_bos;  // unless tokenizer.ggml.add_bos_token says otherwise
};

// tokenizer.ggml.pre of the pipelines that phial has, with the meaning llama.cpp gives them.
constexpr PreTokenizer kPreTokenizers[] = {
    {"", Splitter::llamacpp_default, false, false},
    {"default", Splitter::llamacpp_default, false, false},
    {"gpt-2", Splitter::gpt2, false, false},
    {"phi-2", Splitter::gpt2, false, false},
    {"smollm", Splitter::smollm, false, false},
    {"starcoder", Splitter::smollm, false, false},
    {"refact", Splitter::smollm, false, false},
    {"llama-bpe", Splitter::llama3, true, true},
    {"llama3", Splitter::llama3, true, true},
    {"llama-v3", Splitter::llama3, true, true},
};

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

class GgufReader {
 public:
  GgufReader(const GgufVocabulary& vocabulary, std::string_view name)
      : in_(vocabulary), name_(name) {}

  Result<TokenizerSpec> read();

 private:
  std::string at(std::string_view key) const {
    return name_ + ": tokenizer.ggml." + std::string(key);
  }
  Status read_pre_tokenizer();
  Status read_tokens();
  Status read_merges();
  Status read_special_ids();
  Result<std::optional<int32_t>> special_id(std::string_view key,
                                            const std::optional<int64_t>& id) const;

  const GgufVocabulary& in_;
  std::string name_;
  bool add_bos_ = false;
  TokenizerSpec spec_;
  std::unordered_map<std::string_view, int32_t> ids_;  // keys are the caller's tokens
};

Status GgufReader::read_pre_tokenizer() {
  if (in_.model != "gpt2") {
    return unsupported(at("model"), "the tokenizer \"" + std::string(in_.model) +
                                        "\" is not supported, only \"gpt2\" is");
  }
  for (const PreTokenizer& known : kPreTokenizers) {
    if (known.name != in_.pre) continue;
    spec_.pre_tokenizer = {pre_tokenizer::Words{known.splitter},
                           pre_tokenizer::ByteLevel{.add_prefix_space = false, .use_regex = false}};
    spec_.decoder = {decoder::ByteLevel()};
    spec_.ignore_merges = known.ignore_merges;
    add_bos_ = in_.add_bos.value_or(known.add_bos);
    return {};
  }
  return unsupported(at("pre"),
                     "the pre-tokenizer \"" + std::string(in_.pre) + "\" is not supported");
}

Status GgufReader::read_tokens() {
  const size_t count = in_.tokens.size();
  if (count > kMaxTokenIds) {
    return over_limit(at("tokens"), std::to_string(count) + " tokens, the limit is " +
                                        std::to_string(kMaxTokenIds));
  }
  if (!in_.token_types.empty() && in_.token_types.size() != count) {
    return damaged(at("token_type"), std::to_string(in_.token_types.size()) + " types for " +
                                         std::to_string(count) + " tokens");
  }
  spec_.pieces.resize(count);
  ids_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view token = in_.tokens[i];
    const int64_t type = in_.token_types.empty() ? kNormal : in_.token_types[i];
    const std::string place = "tokens[" + std::to_string(i) + "]";
    if (type == kUnused) continue;  // "[PAD51199]" and the like: rows of the model, no text
    if (token.empty()) return damaged(at(place), "the token is empty");
    if (utf8::find_invalid(token)) return damaged(at(place), "the token is not UTF-8");
    const auto id = static_cast<int32_t>(i);
    const auto [known, is_new] = ids_.try_emplace(token, id);
    if (!is_new) {
      return damaged(at(place), "\"" + std::string(token) + "\" is also the token of id " +
                                    std::to_string(known->second));
    }
    spec_.pieces[i] = token;
    // The file does not keep the flags of added tokens; these are their defaults in Hugging Face,
    // where special tokens are looked for first, then the others in the text between.
    if (type == kControl) {
      spec_.added_tokens.push_back({.id = id, .content = std::string(token), .special = true});
    } else if (type == kUserDefined) {
      spec_.added_tokens.push_back({.id = id, .content = std::string(token), .normalized = true});
    }
  }
  return {};
}

Status GgufReader::read_merges() {
  spec_.merges.reserve(in_.merges.size());
  std::string result;
  for (size_t rank = 0; rank < in_.merges.size(); ++rank) {
    const std::string place = "merges[" + std::to_string(rank) + "]";
    const std::string_view merge = in_.merges[rank];
    // Pieces are not empty and hold no space, but a left one that begins with a space would be
    // read by llama.cpp; so it looks from the second byte on.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return damaged(at(place), "expected two pieces with a space between, found \"" +
                                    std::string(merge) + "\"");
    }
    result.assign(merge.substr(0, space));
    result += merge.substr(space + 1);
    const auto left = ids_.find(merge.substr(0, space));
    const auto right = ids_.find(merge.substr(space + 1));
    const auto both = ids_.find(result);
    if (left == ids_.end() || right == ids_.end() || both == ids_.end()) {
      return damaged(at(place),
                     "\"" + std::string(merge) + "\" does not put two tokens together to a third");
    }
    spec_.merges.push_back(
        {left->second, right->second, both->second, static_cast<uint32_t>(rank)});
  }
  return {};
}

Result<std::optional<int32_t>> GgufReader::special_id(std::string_view key,
                                                      const std::optional<int64_t>& id) const {
  if (!id) return std::optional<int32_t>();
  if (*id < 0 || *id >= static_cast<int64_t>(in_.tokens.size())) {
    return damaged(at(key), "the id " + std::to_string(*id) + " is outside the vocabulary of " +
                                std::to_string(in_.tokens.size()) + " tokens");
  }
  return std::optional<int32_t>(static_cast<int32_t>(*id));
}

Status GgufReader::read_special_ids() {
  PHIAL_ASSIGN(spec_.bos_id, special_id("bos_token_id", in_.bos_id));
  PHIAL_ASSIGN(spec_.eos_id, special_id("eos_token_id", in_.eos_id));
  PHIAL_ASSIGN(spec_.unk_id, special_id("unknown_token_id", in_.unk_id));
  PHIAL_ASSIGN(spec_.pad_id, special_id("padding_token_id", in_.pad_id));
  if (add_bos_) {
    if (!spec_.bos_id) return damaged(at("bos_token_id"), "is missing, but a text begins with it");
    spec_.prefix_ids.push_back(*spec_.bos_id);
  }
  if (in_.add_eos.value_or(false)) {
    if (!spec_.eos_id) return damaged(at("eos_token_id"), "is missing, but a text ends with it");
    spec_.suffix_ids.push_back(*spec_.eos_id);
  }
  return {};
}

Result<TokenizerSpec> GgufReader::read() {
  PHIAL_TRY(read_pre_tokenizer());
  PHIAL_TRY(read_tokens());
  PHIAL_TRY(read_merges());
  PHIAL_TRY(read_special_ids());
  return std::move(spec_);
}

}  // namespace

// add_space_prefix is not looked at: llama.cpp reads it for SentencePiece vocabularies only.
Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufVocabulary& vocabulary,
                                               std::string_view name) {
  return GgufReader(vocabulary, name).read();
}

}  // namespace phial
