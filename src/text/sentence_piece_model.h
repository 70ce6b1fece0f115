// A SentencePiece model file (tokenizer.model): sentencepiece_model.proto of google/sentencepiece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

struct SentencePieceModel {
  enum class Kind : uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };
  struct Piece {
    enum class Type : uint8_t {
      normal = 1,
      unknown = 2,
      control = 3,
      user_defined = 4,
      unused = 5,
      byte = 6
    };
    std::string_view text;  // in the file's bytes
    float score = 0;
    Type type = Type::normal;
  };

  Kind kind = Kind::unigram;
  std::vector<Piece> pieces;  // by id
  bool byte_fallback = false;
  int64_t unknown_id = 0;
  std::string unknown_piece = "<unk>";
  std::string begin_piece = "<s>";  // empty: none
  std::string end_piece = "</s>";
  std::string_view precompiled_charsmap;
};

// `bytes` must outlive the model. damaged: not such a file, a piece that is empty or not UTF-8, or
// a score that is not finite.
Result<SentencePieceModel> read_sentence_piece_model(std::string_view bytes, std::string_view name);

}  // namespace phial
