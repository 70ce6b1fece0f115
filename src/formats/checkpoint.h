// A Checkpoint is what any tensor format reads into: metadata, named tensor views into mapped
// files, and raw tokenizer and template assets. It interprets nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/gguf_metadata.h"
#include "sys/files.h"
#include "tensor/view.h"

namespace phial {

struct NamedTensor {
  std::string name;
  TensorView view;
  std::string dtype;  // as the file spells it: "BF16", "Q4_1"
  std::string file;   // file name (no folder) that holds it, for messages
  // What a packed file says of it (model/phial_target.h); empty in other files.
  std::string description = {};
};

// Immutable once read; safe to share between threads. Owns the mappings its views point into.
struct Checkpoint {
  enum class Format { safetensors, gguf };

  Format format = Format::safetensors;
  std::string path;  // as the caller gave it
  // Sorted by name; names are unique.
  std::vector<NamedTensor> tensors;
  uint64_t file_bytes = 0;  // of all weight files

  // safetensors folders: side files that exist, parsed or as text. Null or empty when absent.
  Json config;                 // config.json
  Json generation_config;      // generation_config.json
  Json tokenizer_config;       // tokenizer_config.json
  Json special_tokens_map;     // special_tokens_map.json
  std::string tokenizer_json;  // text of tokenizer.json, not parsed
  // Without tokenizer.json the files from before it, as bytes: vocab.json and merges.txt,
  // added_tokens.json, tokenizer.model (or spiece.model).
  std::string vocab_json;
  std::string merges_txt;
  Json added_tokens;
  std::string sentence_piece_model;
  // Text of chat_template.jinja or of the chat_template.json member; wins over tokenizer_config.
  std::string chat_template;
  // additional_chat_templates/NAME.jinja: NAME and text, by name.
  std::vector<std::pair<std::string, std::string>> additional_chat_templates;

  // GGUF: the key-value pairs. Empty otherwise.
  GgufMetadata gguf;

  std::vector<std::shared_ptr<const MappedFile>> mappings;

  const NamedTensor* find(std::string_view name) const;  // binary search; null when absent
};

struct ReadOptions {
  // Only what the tokenizer and template need: no weights are required or read.
  bool text_only = false;
};

// Opens `path`: a .gguf file, a .safetensors file, a tokenizer.json (text_only), or a folder that
// holds one of them. In a folder, model.safetensors.index.json, then model.safetensors, then the
// only *.safetensors, then the only *.gguf is taken; later parts of a split GGUF model do not count
// and are read with the first.
// Errors: not_found; unsupported (an unknown kind of file, a folder without a model, a dtype or
// GGUF type phial does not know - naming tensor and type); damaged (anything that contradicts
// itself or the file size, what a killed writer left: is_unfinished); over_limit (parse budget).
Result<Checkpoint> read_checkpoint(const Files& files, const std::string& path,
                                   const ReadOptions& options = {});

}  // namespace phial
