#include "text/slow_tokenizer.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "text/base64.h"
#include "text/sentence_piece_model.h"
#include "text/tokenizer_spec.h"

namespace phial {
namespace {

constexpr std::string_view kVocab = "vocab.json";
constexpr std::string_view kMergesFile = "merges.txt";
constexpr std::string_view kModelFile = "tokenizer.model";
constexpr size_t kMaxMergedPieceBytes = 1024;

// Steps as tokenizer.json writes them.
constexpr std::string_view kByteLevelDecoder =
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";
constexpr std::string_view kQwen2Steps =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";
constexpr std::string_view kMarkToSpace =
    R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})";
constexpr std::string_view kBytesToText = R"(,{"type":"ByteFallback"},{"type":"Fuse"})";
constexpr std::string_view kSpaceToMark =
    R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})";
constexpr std::string_view kT5Steps =
    R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]})";
constexpr std::string_view kMetaspaceDecoder =
    R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";

std::string quoted(std::string_view text) { return to_text(Json(text)); }

std::string member(std::string_view key, std::string_view value) {
  return "," + quoted(key) + ":" + std::string(value);
}

// A special token as these files spell it: a string, or an object with `content`.
const std::string* content_of(const Json* value) {
  if (value == nullptr) return nullptr;
  if (const std::string* text = value->if_string()) return text;
  const Json* content = value->find("content");
  return content != nullptr ? content->if_string() : nullptr;
}

class Converter {
 public:
  explicit Converter(const SlowTokenizerFiles& files) : files_(files) {}

  Result<std::string> convert() {
    class_ = class_name();
    if (!files_.sentence_piece_model.empty()) return convert_sentence_piece();
    return convert_vocabulary();
  }

 private:
  struct Added {
    std::string content;
    bool special = false;
    bool normalized = false;
  };

  std::string class_name() const {
    const Json* name = files_.config.find("tokenizer_class");
    std::string text = name != nullptr && name->if_string() ? *name->if_string() : std::string();
    if (text.ends_with("Fast")) text.resize(text.size() - 4);
    // A class that says nothing about the kind.
    if (text == "PreTrainedTokenizer" || text == "TokenizersBackend") text.clear();
    return text;
  }

  Error unknown_class() const {
    return unsupported("tokenizer_config.json: tokenizer_class",
                       "\"" + class_ + "\" without a tokenizer.json is not supported",
                       "save the tokenizer with transformers, which writes a tokenizer.json");
  }

  bool flag(std::string_view key, bool missing) const {
    const Json* value = files_.config.find(key);
    return value != nullptr && value->if_bool() != nullptr ? *value->if_bool() : missing;
  }

  // The token that has this role, where the files or the class tell and the vocabulary has it.
  void add_role(std::string_view role, std::string_view by_default) {
    const std::string* content = content_of(files_.config.find(role));
    if (content == nullptr) content = content_of(files_.special_tokens_map.find(role));
    const std::string name = content != nullptr ? *content : std::string(by_default);
    if (const auto id = ids_.find(name); id != ids_.end()) add(id->second, name, true);
    if (role == "bos_token") bos_ = name;
    if (role == "eos_token") eos_ = name;
  }

  void add(int64_t id, std::string_view content, bool special) {
    Added& token = added_[id];
    token.content = content;
    token.special = token.special || special;
    token.normalized = token.normalized && !token.special;
  }

  Status read_added_tokens() {
    const Json::Object* members = files_.added_tokens.if_object();
    if (members == nullptr) return {};
    for (const auto& [content, id] : *members) {
      const int64_t* number = id.if_integer();
      if (number == nullptr || *number < 0 || *number >= static_cast<int64_t>(kMaxTokenIds)) {
        return damaged("added_tokens.json", "\"" + content + "\" has no token id");
      }
      const bool special = is_special(content);
      add(*number, content, special);
      added_[*number].normalized = !special;
    }
    return {};
  }

  // Whether special_tokens_map.json names it.
  bool is_special(std::string_view content) const {
    const Json::Object* members = files_.special_tokens_map.if_object();
    if (members == nullptr) return false;
    for (const auto& [role, value] : *members) {
      const std::string* single = content_of(&value);
      if (single != nullptr && *single == content) return true;
      const Json::Array* several = value.if_array();
      if (several == nullptr) continue;
      for (const Json& each : *several) {
        const std::string* one = content_of(&each);
        if (one != nullptr && *one == content) return true;
      }
    }
    return false;
  }

  std::string added_tokens() const {
    std::vector<std::pair<int64_t, const Added*>> sorted;
    for (const auto& [id, token] : added_) sorted.emplace_back(id, &token);
    std::sort(sorted.begin(), sorted.end());
    std::string out = "[";
    for (const auto& [id, token] : sorted) {
      if (out.size() > 1) out += ',';
      out += "{\"id\":" + std::to_string(id) + member("content", quoted(token->content)) +
             R"(,"single_word":false,"lstrip":false,"rstrip":false)" +
             member("normalized", token->normalized ? "true" : "false") +
             member("special", token->special ? "true" : "false") + "}";
    }
    return out + "]";
  }

  // Beginning and end tokens, where the configuration asks for them (and T5's end always).
  std::string post_processor(bool end_by_default) const {
    std::string single;
    std::string tokens;
    const auto put = [&](const std::string& token) {
      const auto id = ids_.find(token);
      if (id == ids_.end()) return;
      single += R"({"SpecialToken":{"id":)" + quoted(token) + R"(,"type_id":0}},)";
      if (!tokens.empty()) tokens += ',';
      tokens += quoted(token) + ":{\"id\":" + quoted(token) + ",\"ids\":[" +
                std::to_string(id->second) + "],\"tokens\":[" + quoted(token) + "]}";
    };
    if (flag("add_bos_token", false)) put(bos_);
    single += R"({"Sequence":{"id":"A","type_id":0}},)";
    if (flag("add_eos_token", end_by_default)) put(eos_);
    single.pop_back();
    return R"({"type":"TemplateProcessing","single":[)" + single +
           R"(],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}])" +
           ",\"special_tokens\":{" + tokens + "}}";
  }

  std::string document(std::string_view normalizer, std::string_view pre_tokenizer,
                       bool end_by_default, std::string_view decoder,
                       std::string_view model) const {
    return R"({"version":"1.0")" + member("added_tokens", added_tokens()) +
           member("normalizer", normalizer) + member("pre_tokenizer", pre_tokenizer) +
           member("post_processor", post_processor(end_by_default)) + member("decoder", decoder) +
           member("model", model) + "}";
  }

  // ---- vocab.json with merges.txt

  Result<std::string> convert_vocabulary() {
    const bool qwen2 =
        class_ == "Qwen2Tokenizer" || (class_.empty() && files_.model_type.starts_with("qwen"));
    if (!qwen2 && !class_.empty() && class_ != "GPT2Tokenizer") return unknown_class();
    PHIAL_ASSIGN(const Json vocab, parse_json(files_.vocab_json, kVocab));
    if (vocab.if_object() == nullptr) {
      return damaged(kVocab, std::string("expected an object, found ") + vocab.kind_name());
    }
    for (const auto& [piece, id] : *vocab.if_object()) {
      if (id.if_integer() == nullptr) return damaged(kVocab, "\"" + piece + "\" has no integer id");
      ids_[piece] = *id.if_integer();
    }
    PHIAL_ASSIGN(const std::string merges, merges_of_lines());
    PHIAL_TRY(read_added_tokens());
    for (const auto& [id, token] : added_) ids_.emplace(token.content, id);
    constexpr std::string_view kEnd = "<|endoftext|>";
    if (!qwen2) add_role("bos_token", kEnd);
    for (const char* role : {"eos_token", "unk_token"}) add_role(role, kEnd);
    if (qwen2) add_role("pad_token", kEnd);
    const std::string model = R"({"type":"BPE","dropout":null,"unk_token":null)" +
                              member("vocab", files_.vocab_json) + member("merges", merges) + "}";
    const std::string words =
        std::string(R"({"type":"ByteLevel","trim_offsets":true,"use_regex":true)") +
        member("add_prefix_space", flag("add_prefix_space", false) ? "true" : "false") + "}";
    return qwen2 ? document(R"({"type":"NFC"})", kQwen2Steps, false, kByteLevelDecoder, model)
                 : document("null", words, false, kByteLevelDecoder, model);
  }

  Result<std::string> merges_of_lines() const {
    std::string out = "[";
    std::string_view rest = files_.merges_txt;
    for (size_t number = 1; !rest.empty(); ++number) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.starts_with("#version") || line.empty()) continue;
      const size_t space = line.find(' ');
      const bool two = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                       line.find(' ', space + 1) == std::string_view::npos;
      if (!two || utf8::find_invalid(line)) {
        return damaged(kMergesFile, "line " + std::to_string(number) +
                                        ": expected two pieces with a space between");
      }
      if (out.size() > 1) out += ',';
      out += "[" + quoted(line.substr(0, space)) + "," + quoted(line.substr(space + 1)) + "]";
    }
    return out + "]";
  }

  // ---- SentencePiece

  Result<std::string> convert_sentence_piece() {
    PHIAL_ASSIGN(const SentencePieceModel model,
                 read_sentence_piece_model(files_.sentence_piece_model, kModelFile));
    const bool t5 = class_ == "T5Tokenizer";
    const bool llama = class_ == "LlamaTokenizer" || class_ == "CodeLlamaTokenizer" ||
                       (class_.empty() && is_llama(model));
    if (!t5 && !llama && !class_.empty()) return unknown_class();
    if (model.kind != SentencePieceModel::Kind::bpe &&
        model.kind != SentencePieceModel::Kind::unigram) {
      return unsupported(kModelFile, "is neither a BPE nor a unigram model");
    }
    PHIAL_TRY(index_pieces(model));
    PHIAL_TRY(read_added_tokens());
    for (const auto& [id, token] : added_) ids_.emplace(token.content, id);
    if (llama) return llama_document(model);
    if (t5) return t5_document(model);
    return own_document(model);
  }

  bool is_llama(const SentencePieceModel& model) const {
    constexpr std::string_view kTypes[] = {"llama", "mistral", "mixtral", "phi3"};
    return model.kind == SentencePieceModel::Kind::bpe &&
           std::find(std::begin(kTypes), std::end(kTypes), files_.model_type) != std::end(kTypes);
  }

  Status index_pieces(const SentencePieceModel& model) {
    if (model.pieces.size() > kMaxTokenIds) {
      return over_limit(kModelFile, std::to_string(model.pieces.size()) + " pieces, the limit is " +
                                        std::to_string(kMaxTokenIds));
    }
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePieceModel::Piece& piece = model.pieces[id];
      ids_[std::string(piece.text)] = static_cast<int64_t>(id);
      using Type = SentencePieceModel::Piece::Type;
      if (piece.type == Type::control || piece.type == Type::user_defined) {
        add(static_cast<int64_t>(id), piece.text, piece.type == Type::control);
      }
    }
    return {};
  }

  std::string vocabulary(const SentencePieceModel& model) const {
    std::string out = "{";
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      if (ids_.at(std::string(model.pieces[id].text)) != static_cast<int64_t>(id))
        continue;  // twice: the last
      if (out.size() > 1) out += ',';
      out += quoted(model.pieces[id].text) + ":" + std::to_string(id);
    }
    return out + "}";
  }

  static std::string scored_pieces(const SentencePieceModel& model) {
    std::string out = "[";
    for (const SentencePieceModel::Piece& piece : model.pieces) {
      char score[32];
      const auto end = std::to_chars(score, score + sizeof score, static_cast<double>(piece.score));
      if (out.size() > 1) out += ',';
      out += "[" + quoted(piece.text) + "," + std::string(score, end.ptr) + "]";
    }
    return out;  // without its end: more may follow
  }

  // generate_merges() of transformers: all ways to make a piece of two others, by id and cut.
  Result<std::string> merges(const SentencePieceModel& model) const {
    std::string out = "[";
    for (const SentencePieceModel::Piece& whole : model.pieces) {
      const std::string_view text = whole.text;
      if (text.size() > kMaxMergedPieceBytes) {
        return over_limit(kModelFile, "a piece of " + std::to_string(text.size()) +
                                          " bytes, the limit is " +
                                          std::to_string(kMaxMergedPieceBytes));
      }
      for (size_t cut = utf8::decode(text).length; cut < text.size();
           cut += utf8::decode(text.substr(cut)).length) {
        const std::string left(text.substr(0, cut));
        const std::string right(text.substr(cut));
        if (!ids_.contains(left) || !ids_.contains(right)) continue;
        if (out.size() > 1) out += ',';
        out += "[" + quoted(left) + "," + quoted(right) + "]";
      }
    }
    return out + "]";
  }

  Result<std::string> bpe_model(const SentencePieceModel& model, bool byte_fallback,
                                std::string_view unknown) const {
    PHIAL_ASSIGN(const std::string pairs, merges(model));
    return R"({"type":"BPE","dropout":null,"fuse_unk":true)" + member("unk_token", unknown) +
           member("byte_fallback", byte_fallback ? "true" : "false") +
           member("vocab", vocabulary(model)) + member("merges", pairs) + "}";
  }

  Result<std::string> llama_document(const SentencePieceModel& model) {
    add_role("unk_token", "<unk>");
    add_role("bos_token", "<s>");
    add_role("eos_token", "</s>");
    PHIAL_ASSIGN(const std::string bpe, bpe_model(model, true, "null"));
    const bool prefix = flag("add_prefix_space", true);
    const char* scheme = !prefix ? "never" : flag("legacy", false) ? "always" : "first";
    std::string decoder = R"({"type":"Sequence","decoders":[)";
    decoder.append(kMarkToSpace).append(kBytesToText);
    if (prefix) decoder += R"(,{"type":"Strip","content":" ","start":1,"stop":0})";
    return document("null",
                    R"({"type":"Metaspace","replacement":"▁","split":false)" +
                        member("prepend_scheme", quoted(scheme)) + "}",
                    false, decoder + "]}", bpe);
  }

  Result<std::string> t5_document(const SentencePieceModel& model) {
    constexpr int kExtraIds = 100;
    std::string pieces = scored_pieces(model);
    auto id = static_cast<int64_t>(model.pieces.size());
    for (int extra = kExtraIds - 1; extra >= 0; --extra, ++id) {
      const std::string content = "<extra_id_" + std::to_string(extra) + ">";
      pieces += ",[" + quoted(content) + ",0.0]";
      ids_[content] = id;
      add(id, content, true);
    }
    add_role("eos_token", "</s>");
    add_role("unk_token", "<unk>");
    add_role("pad_token", "<pad>");
    return document(charsmap(model), kT5Steps, true, kMetaspaceDecoder,
                    R"({"type":"Unigram","unk_id":2,"byte_fallback":false)" +
                        member("vocab", pieces + "]") + "}");
  }

  static std::string charsmap(const SentencePieceModel& model) {
    if (model.precompiled_charsmap.empty()) return "null";
    return R"({"type":"Precompiled")" +
           member("precompiled_charsmap", quoted(base64_encode(model.precompiled_charsmap))) + "}";
  }

  // SpmConverter.build_tokenizer_from_spm_proto of transformers.
  Result<std::string> own_document(const SentencePieceModel& model) {
    add_role("unk_token", model.unknown_piece);
    add_role("bos_token", model.begin_piece);
    add_role("eos_token", model.end_piece);
    std::string body;
    if (model.kind == SentencePieceModel::Kind::bpe) {
      PHIAL_ASSIGN(body, bpe_model(model, model.byte_fallback, quoted(model.unknown_piece)));
    } else {
      body = R"({"type":"Unigram")" + member("unk_id", std::to_string(model.unknown_id)) +
             member("byte_fallback", model.byte_fallback ? "true" : "false") +
             member("vocab", scored_pieces(model) + "]") + "}";
    }
    std::string normalizers = charsmap(model);
    normalizers = normalizers == "null" ? "" : normalizers + ",";
    std::string decoders(kMarkToSpace);
    if (model.byte_fallback) decoders += kBytesToText;
    return document(
        R"({"type":"Sequence","normalizers":[)" + normalizers + std::string(kSpaceToMark) + "]}",
        "null", false, R"({"type":"Sequence","decoders":[)" + decoders + "]}", body);
  }

  const SlowTokenizerFiles& files_;
  std::string class_;
  std::string bos_;
  std::string eos_;
  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<int64_t, Added> added_;
};

}  // namespace

Result<std::string> tokenizer_json_of(const SlowTokenizerFiles& files) {
  return Converter(files).convert();
}

}  // namespace phial
