// The steps that make text of a row of pieces: `decoders` of Hugging Face `tokenizers`, on a
// stream, so that decoding piece by piece and decoding at once are the same code.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/text_pattern.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Immutable; safe to use from several threads at once.
class TokenDecoder {
 public:
  TokenDecoder() = default;
  // Errors are those of CompiledPattern; over_limit: more than kMaxPipelineSteps.
  static Result<TokenDecoder> create(const std::vector<decoder::Step>& steps);

  // A row of pieces being decoded. The decoder must outlive it.
  class Stream {
   public:
    explicit Stream(const TokenDecoder& decoder);
    ~Stream();
    Stream(Stream&&) noexcept;

    // Appends to `out` what is certain with this piece, whatever follows: whole characters.
    // over_limit: replacements make more than kMaxNormalGrowth bytes of a byte (and
    // kMaxNormalExtraBytes besides), or a regular expression gives up.
    Status push(std::string_view piece, std::string& out);
    // Appends what was held back. The next push() begins a new row.
    Status finish(std::string& out);

   private:
    friend class TokenDecoder;
    class Stage;
    class End;
    class Join;
    class ByteLevel;
    class Buffered;
    class WordPiece;
    class Metaspace;
    class ByteFallback;
    class Fuse;
    class Strip;
    class Replace;
    class Bpe;
    class Ctc;

    const TokenDecoder* decoder_;
    std::vector<std::unique_ptr<Stage>> stages_;  // the last is the End
    std::unique_ptr<size_t> bytes_left_;          // that the row may still make
  };

 private:
  struct Replace {
    CompiledPattern pattern;
    std::string content;
  };
  using Step = std::variant<decoder::ByteLevel, decoder::WordPiece, decoder::Metaspace,
                            decoder::ByteFallback, decoder::Fuse, decoder::Strip, Replace,
                            decoder::Bpe, decoder::Ctc>;

  std::vector<Step> steps_;
};

}  // namespace phial
