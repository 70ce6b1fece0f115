// A model turns one word into ids: bpe.h, unigram.h, word_piece.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

// Immutable; several threads may encode, each with its own Scratch.
class WordModel {
 public:
  // Memory of one encoding, used again from word to word.
  class Scratch {
   public:
    virtual ~Scratch() = default;
  };

  virtual ~WordModel() = default;
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;

  // Appends the ids of `word`. invalid_input: it holds what the vocabulary lacks, and there is no
  // unknown piece. REQUIRES: not empty, UTF-8 (any bytes for a model that reads bytes), fewer than
  // 2^32 - 1 bytes; `scratch` is of this model
  virtual Status encode_word(std::string_view word, Scratch& scratch,
                             std::vector<int32_t>& ids) const = 0;

  // The id of a word that is known to become just this one; -1: not known. `hash` is
  // hash_of_word(word).
  virtual int32_t whole_word(std::string_view /*word*/, uint64_t /*hash*/) const { return -1; }

  // Where words may be cut further without changing their ids: before this string, where it does
  // not follow itself. Empty: nowhere.
  virtual std::string_view cut_before() const { return {}; }

 protected:
  static Error unknown_word(std::string_view word) {
    return invalid_input("text", "the vocabulary lacks \"" + std::string(word.substr(0, 64)) +
                                     "\", and it has no unknown piece");
  }
};

}  // namespace phial
