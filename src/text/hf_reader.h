// Reads a tokenizer.json into a TokenizerSpec. Inside: what the parts of the reader share; use
// tokenizer_spec_from_hf().
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace phial {

// The member `key`; null when there is none.
const Json& json_member(const Json& object, std::string_view key);

// What `type` says in the objects of tokenizer.json; empty when it does not.
std::string_view json_type(const Json& object);

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
  Result<size_t> count_value(const Json& value, std::string_view path) const;

  // hf_reader_model.cc
  Status read_model(const Json& model, size_t added_count);
  Result<TokenizerSpec::Model> model_type(const Json& model) const;
  Status make_room_for_pieces(size_t size, size_t added_count);
  Status read_vocab(const Json& vocab, size_t added_count);
  Status read_scored_vocab(const Json& vocab, size_t added_count);
  Status read_bpe(const Json& model);
  Status read_merges(const Json& merges);
  Result<std::pair<std::string_view, std::string_view>> merge_pair(const Json& merge, size_t rank,
                                                                   bool as_text) const;
  Status read_unknown(const Json& model);
  Result<const std::string*> optional_text(const Json& model, std::string_view key) const;
  std::optional<int32_t> vocab_id(std::string_view piece) const;

  // hf_reader_added.cc
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

  // hf_reader_steps.cc
  Status flatten(const Json& step, std::string_view list_key, std::string_view path,
                 std::vector<const Json*>& out, int depth) const;
  Status read_normalizer(const Json& normalizer);
  Status read_pre_tokenizer(const Json& pre_tokenizer);
  Status read_decoder(const Json& decoder);
  Result<normalizer::Step> normalizer_step(const Json& step) const;
  Result<pre_tokenizer::Step> pre_tokenizer_step(const Json& step) const;
  Result<decoder::Step> decoder_step(const Json& step) const;
  Result<std::string> text_value(const Json& object, std::string_view key,
                                 std::string_view path) const;
  Result<char32_t> char_value(const Json& object, std::string_view key,
                              std::string_view path) const;
  Result<TextPattern> pattern_value(const Json& object, std::string_view path) const;
  Result<SplitBehavior> behavior_value(const Json& object, std::string_view path) const;
  Result<PrependScheme> prepend_value(const Json& metaspace, std::string_view path) const;

  // hf_reader_post.cc
  Status read_post_processor(const Json& post_processor);
  Status read_template(const Json& processor);
  Status template_ids(const Json& special_tokens, const Json& name,
                      std::vector<int32_t>& out) const;
  Result<int32_t> pair_id(const Json& processor, std::string_view key) const;
  Status check_post_ids() const;

  std::string name_;
  ParseBudget budget_;
  TokenizerSpec spec_;
  std::unordered_map<std::string_view, int32_t> vocab_;  // keys point into spec_.pieces
  size_t vocab_count_ = 0;
  int32_t next_added_id_ = 0;
  std::unordered_map<std::string, size_t> added_index_;  // by content, into spec_.added_tokens
};

}  // namespace phial
