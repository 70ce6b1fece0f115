// Sequences in files. docs/session-format.md has the layout byte for byte.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/xxh64.h"
#include "engine/sequence.h"

namespace phial {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {'P', 'H', 'I', 'A', 'L', 'S', 'E', 'Q'};
constexpr uint32_t kVersion = 2;

// Each part's checksum depends on what is in front of the parts and on the part's place: parts of
// another file, or in another order, do not pass for these.
uint64_t part_checksum(std::span<const uint8_t> bytes, uint64_t head_checksum, uint64_t index) {
  return xxh64(bytes, head_checksum + 1 + index);
}

struct Head {
  uint64_t fingerprint = 0;
  std::vector<int32_t> tokens;
  int64_t computed = 0;
  uint64_t checksum = 0;
};

// An error of what is in the file names the file, too.
Status in_file(const std::string& path, Status status) {
  if (status.ok()) return status;
  Error error = std::move(status).error();
  if (!error.where.starts_with(path)) error.where = path + ": " + error.where;
  return error;
}

Result<Head> read_head(std::span<const uint8_t> file, ByteReader& reader) {
  if (file.size() < kMagic.size() || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0) {
    return unsupported(reader.name(), "not a saved sequence",
                       "expected a file that phial_sequence_save has written");
  }
  PHIAL_TRY(reader.skip(kMagic.size(), "the magic"));
  PHIAL_ASSIGN(const uint32_t version, reader.read<uint32_t>("the version"));
  if (version != kVersion) {
    return unsupported(reader.name(), fmt::format("a saved sequence of version {}; this phial "
                                                  "reads version {}",
                                                  version, kVersion));
  }
  PHIAL_ASSIGN(const uint32_t reserved, reader.read<uint32_t>("the header"));
  Head head;
  PHIAL_ASSIGN(head.fingerprint, reader.read<uint64_t>("the fingerprint"));
  PHIAL_ASSIGN(const uint64_t tokens, reader.read<uint64_t>("the number of tokens"));
  PHIAL_ASSIGN(const uint64_t computed, reader.read<uint64_t>("the number of computed tokens"));
  if (tokens > reader.remaining() / sizeof(int32_t)) {
    return reader.damage(fmt::format("{} tokens do not fit the file", tokens));
  }
  if (computed > tokens || reserved != 0) return reader.damage("the header contradicts itself");
  PHIAL_ASSIGN(const auto ids, reader.read_bytes(tokens * sizeof(int32_t), "the tokens"));
  const std::span<const uint8_t> covered = file.first(reader.position());
  PHIAL_ASSIGN(head.checksum, reader.read<uint64_t>("a checksum"));
  if (head.checksum != xxh64(covered)) {
    return reader.damage("header and tokens do not match their checksum");
  }
  head.tokens.resize(tokens);
  if (tokens > 0) std::memcpy(head.tokens.data(), ids.data(), ids.size());
  head.computed = static_cast<int64_t>(computed);
  return head;
}

}  // namespace

Status Sequence::save(const Files& files, const std::string& path) {
  PHIAL_TRY(forget_drafts());
  const int64_t computed = decoder_->traits().can_save ? computed_ : 0;
  std::vector<uint8_t> head(kMagic.begin(), kMagic.end());
  append_number(head, kVersion);
  append_number(head, uint32_t{0});
  append_number(head, decoder_->fingerprint());
  append_number(head, static_cast<uint64_t>(length()));
  append_number(head, static_cast<uint64_t>(computed));
  for (const int32_t token : tokens_) append_number(head, token);
  const uint64_t checksum = xxh64(head);
  append_number(head, checksum);
  PHIAL_ASSIGN(const std::unique_ptr<FileWriter> writer, files.create(path));
  PHIAL_TRY(writer->append(head));
  if (computed > 0) {
    uint64_t index = 0;
    const auto put = [&](std::span<const uint8_t> bytes) -> Status {
      std::vector<uint8_t> frame;
      append_number(frame, static_cast<uint64_t>(bytes.size()));
      append_number(frame, part_checksum(bytes, checksum, index++));
      PHIAL_TRY(writer->append(frame));
      return writer->append(bytes);
    };
    PHIAL_TRY(decoder_->save(id_, put));
  }
  return writer->commit();
}

Result<std::unique_ptr<Sequence>> Sequence::load(std::shared_ptr<Decoder> decoder, int64_t context,
                                                 const Files& files, const std::string& path) {
  PHIAL_ASSIGN(const auto file, files.map(path));
  ByteReader reader(file->bytes(), path);
  PHIAL_ASSIGN(const Head head, read_head(file->bytes(), reader));
  if (head.fingerprint != decoder->fingerprint()) {
    return invalid_input(path, "the sequence was saved with another model",
                         "load the model that it was saved with");
  }
  PHIAL_ASSIGN(std::unique_ptr<Sequence> sequence, create(std::move(decoder), context));
  PHIAL_TRY(in_file(path, sequence->append(head.tokens)));
  if (head.computed > 0) {
    uint64_t index = 0;
    const auto next = [&]() -> Result<std::span<const uint8_t>> {
      PHIAL_ASSIGN(const uint64_t bytes, reader.read<uint64_t>("a part of the cache"));
      PHIAL_ASSIGN(const uint64_t checksum, reader.read<uint64_t>("a checksum"));
      PHIAL_ASSIGN(const auto part, reader.read_bytes(bytes, "a part of the cache"));
      if (checksum == part_checksum(part, head.checksum, index++)) return part;
      return reader.damage("a part of the cache does not match its checksum");
    };
    const std::span<const int32_t> tokens = sequence->tokens_;
    PHIAL_TRY(
        in_file(path, sequence->decoder_->load(
                          sequence->id_, tokens.first(static_cast<size_t>(head.computed)), next)));
    sequence->computed_ = head.computed;
  }
  if (reader.remaining() != 0) return reader.damage("bytes behind the end");
  return sequence;
}

}  // namespace phial
