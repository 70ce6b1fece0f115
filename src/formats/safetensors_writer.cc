#include "formats/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <unordered_set>

#include "base/byte_writer.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "formats/extent.h"
#include "formats/safetensors.h"

namespace phial {
namespace {

// The data begins at a cache line in any case. Readers map numbers where they lie, and the bytes of
// most tensors are multiples of that.
constexpr uint64_t kHeaderAlignment = 64;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxTotalBytes = uint64_t{1} << 62;  // with room for gaps in 63 bits

// A run of bytes of a file's data: a tensor, or what fills the gap behind one.
struct Segment {
  uint64_t bytes = 0;
  bool is_padding = false;
};

struct Shard {
  std::string name;
  std::vector<uint8_t> header;  // length, JSON and blanks
  std::vector<Segment> segments;
  uint64_t data_bytes = 0;
};

struct Layout {
  std::vector<Shard> shards;
  std::string index;  // text of the index; empty: none
};

Json entry_of(const char* dtype, std::span<const int64_t> shape, uint64_t begin, uint64_t end) {
  Json extents{Json::Array()};
  for (const int64_t extent : shape) extents.push(extent);
  Json offsets{Json::Array()};
  offsets.push(begin);
  offsets.push(end);
  Json entry;
  entry.set("dtype", dtype);
  entry.set("shape", std::move(extents));
  entry.set("data_offsets", std::move(offsets));
  return entry;
}

// Puts tensors into files one after another.
class Planner {
 public:
  Planner(const std::string& path, std::span<const SafetensorsTensor> tensors,
          const SafetensorsOptions& options)
      : path_(path), tensors_(tensors), options_(options) {}

  Result<Layout> plan() {
    if (!std::has_single_bit(options_.alignment) || options_.alignment > kMaxAlignment) {
      return usage_error(path_, fmt::format("an alignment of {}; expected a power of two up to {}",
                                            options_.alignment, kMaxAlignment));
    }
    PHIAL_TRY(measure());
    PHIAL_TRY(cut());
    Layout layout;
    for (size_t shard = 0; shard + 1 < starts_.size(); ++shard) {
      PHIAL_ASSIGN(Shard filled, fill(shard));
      layout.shards.push_back(std::move(filled));
    }
    if (layout.shards.size() > 1 || options_.always_index) layout.index = index_text();
    return layout;
  }

 private:
  // Checks names and takes the bytes of each tensor.
  Status measure() {
    std::unordered_set<std::string_view> names;
    for (const SafetensorsTensor& tensor : tensors_) {
      if (tensor.name.empty() || tensor.name == kSafetensorsMetadataKey ||
          tensor.name.starts_with(kSafetensorsPadding) || utf8::find_invalid(tensor.name)) {
        return usage_error(path_, fmt::format("\"{}\" cannot be the name of a tensor",
                                              printable(tensor.name, 100)));
      }
      if (!names.insert(tensor.name).second) {
        return usage_error(path_, fmt::format("two tensors are called \"{}\"", tensor.name));
      }
      if (safetensors_dtype(tensor.grid) == nullptr) {
        return unsupported(
            path_ + ": " + tensor.name,
            fmt::format("safetensors files cannot hold {} blocks", grid_info(tensor.grid).name));
      }
      const std::optional<uint64_t> bytes = extent_bytes(tensor.grid, tensor.shape);
      const std::optional<uint64_t> total =
          bytes ? checked_add<uint64_t>(total_bytes_, *bytes) : std::nullopt;
      if (!total || *total > kMaxTotalBytes) {
        return over_limit(path_ + ": " + tensor.name, "the sizes are beyond 62 bits");
      }
      total_bytes_ = *total;
      bytes_.push_back(*bytes);
    }
    return {};
  }

  // Which tensor each file begins with.
  Status cut() {
    starts_ = {0};
    uint64_t held = 0;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (options_.max_shard_bytes > 0 && i > starts_.back() &&
          held + bytes_[i] > options_.max_shard_bytes) {
        starts_.push_back(i);
        held = 0;
      }
      held += bytes_[i];
    }
    starts_.push_back(tensors_.size());
    if (shards() > kMaxSafetensorsShards) {
      return over_limit(path_, fmt::format("would be {} files; at most {} are read", shards(),
                                           kMaxSafetensorsShards));
    }
    return {};
  }

  size_t shards() const { return starts_.size() - 1; }

  // "model-00001-of-00002.safetensors"
  std::string shard_name(size_t shard) const {
    const std::string name = file_name_of(path_);
    if (shards() == 1) return name;
    const size_t dot = std::min(name.rfind('.'), name.size());
    return fmt::format("{}-{:05}-of-{:05}{}", name.substr(0, dot), shard + 1, shards(),
                       name.substr(dot));
  }

  Result<Shard> fill(size_t index) const {
    Shard shard;
    shard.name = shard_name(index);
    Json::Object header;
    if (!options_.metadata.empty()) {
      Json metadata{Json::Object()};
      for (const auto& [key, text] : options_.metadata) metadata.set(key, text);
      header.emplace_back(kSafetensorsMetadataKey, std::move(metadata));
    }
    size_t fillers = 0;
    for (size_t i = starts_[index]; i < starts_[index + 1]; ++i) {
      const uint64_t gap = -shard.data_bytes % options_.alignment;
      if (gap > 0) {
        const int64_t extent = static_cast<int64_t>(gap);
        header.emplace_back(fmt::format("{}{}", kSafetensorsPadding, fillers++),
                            entry_of(safetensors_dtype(Grid::u8), {&extent, 1}, shard.data_bytes,
                                     shard.data_bytes + gap));
        shard.segments.push_back({gap, true});
        shard.data_bytes += gap;
      }
      const SafetensorsTensor& tensor = tensors_[i];
      header.emplace_back(tensor.name, entry_of(safetensors_dtype(tensor.grid), tensor.shape,
                                                shard.data_bytes, shard.data_bytes + bytes_[i]));
      shard.segments.push_back({bytes_[i], false});
      shard.data_bytes += bytes_[i];
    }
    std::string text = to_text(Json(std::move(header)));
    const uint64_t alignment = std::max(kHeaderAlignment, options_.alignment);
    text.append(-(sizeof(uint64_t) + text.size()) % alignment, ' ');
    if (text.size() > kMaxSafetensorsHeaderBytes) {
      return over_limit(path_, fmt::format("the header would be of {} bytes; at most {} are read",
                                           text.size(), kMaxSafetensorsHeaderBytes));
    }
    append_number<uint64_t>(shard.header, text.size());
    shard.header.insert(shard.header.end(), text.begin(), text.end());
    return shard;
  }

  std::string index_text() const {
    std::map<std::string_view, std::string> places;  // sorted, as other writers do
    for (size_t shard = 0; shard < shards(); ++shard) {
      for (size_t i = starts_[shard]; i < starts_[shard + 1]; ++i) {
        places.emplace(tensors_[i].name, shard_name(shard));
      }
    }
    Json::Object map;
    for (auto& [name, place] : places) map.emplace_back(std::string(name), std::move(place));
    Json metadata;
    metadata.set("total_size", total_bytes_);
    for (const auto& [key, value] : options_.index_metadata) metadata.set(key, value);
    Json index;
    index.set("metadata", std::move(metadata));
    index.set("weight_map", Json(std::move(map)));
    return to_text(index, 4) + "\n";
  }

  const std::string& path_;
  const std::span<const SafetensorsTensor> tensors_;
  const SafetensorsOptions& options_;
  std::vector<uint64_t> bytes_;  // of each tensor
  uint64_t total_bytes_ = 0;
  std::vector<size_t> starts_;  // of the files, and the number of tensors
};

class Writer final : public SafetensorsWriter {
 public:
  Writer(const Files& files, std::string path, Layout layout)
      : files_(files), path_(std::move(path)), layout_(std::move(layout)) {}

  // Opens the next file, and puts down its header and what has no bytes.
  Status open_next() {
    const Shard& shard = layout_.shards[writers_.size()];
    PHIAL_ASSIGN(std::unique_ptr<FileWriter> writer,
                 files_.create(join_path(folder_of(path_), shard.name)));
    PHIAL_TRY(writer->append(shard.header));
    writers_.push_back(std::move(writer));
    segment_ = 0;
    written_ = 0;
    return pass_ended();
  }

  Status append(std::span<const uint8_t> bytes) override {
    while (!bytes.empty()) {
      if (segment_ == current().segments.size()) {
        if (writers_.size() == layout_.shards.size()) {
          return internal_error(path_, "more bytes than the tensors have");
        }
        PHIAL_TRY(open_next());
        continue;
      }
      const uint64_t left = current().segments[segment_].bytes - written_;
      const size_t count = std::min<uint64_t>(left, bytes.size());
      PHIAL_TRY(writers_.back()->append(bytes.first(count)));
      written_ += count;
      bytes = bytes.subspan(count);
      PHIAL_TRY(pass_ended());
    }
    return {};
  }

  uint64_t index_bytes() const override { return layout_.index.size(); }

  Status commit() override {
    // Files that hold nothing but empty tensors are still to be opened.
    while (segment_ == current().segments.size() && writers_.size() < layout_.shards.size()) {
      PHIAL_TRY(open_next());
    }
    if (segment_ < current().segments.size()) {
      return internal_error(path_, "fewer bytes than the tensors have");
    }
    std::unique_ptr<FileWriter> index;
    if (!layout_.index.empty()) {
      const std::string& text = layout_.index;
      PHIAL_ASSIGN(index, files_.create(path_ + ".index.json"));
      PHIAL_TRY(index->append({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    }
    for (const auto& writer : writers_) PHIAL_TRY(writer->commit());
    return index != nullptr ? index->commit() : Status();
  }

 private:
  const Shard& current() const { return layout_.shards[writers_.size() - 1]; }

  // Goes on to the next tensor that has bytes, filling gaps.
  Status pass_ended() {
    const std::vector<Segment>& segments = current().segments;
    while (segment_ < segments.size()) {
      const Segment& segment = segments[segment_];
      if (segment.is_padding) {
        PHIAL_TRY(writers_.back()->append(std::vector<uint8_t>(segment.bytes)));
      } else if (written_ < segment.bytes) {
        return {};
      }
      ++segment_;
      written_ = 0;
    }
    return {};
  }

  const Files& files_;
  const std::string path_;
  const Layout layout_;
  std::vector<std::unique_ptr<FileWriter>> writers_;  // of the files up to the current one
  size_t segment_ = 0;                                // of the current file
  uint64_t written_ = 0;                              // of that segment
};

}  // namespace

Result<std::vector<SafetensorsFile>> plan_safetensors(const std::string& path,
                                                      std::span<const SafetensorsTensor> tensors,
                                                      const SafetensorsOptions& options) {
  PHIAL_ASSIGN(const Layout layout, Planner(path, tensors, options).plan());
  std::vector<SafetensorsFile> files;
  for (const Shard& shard : layout.shards) {
    files.push_back(
        {join_path(folder_of(path), shard.name), shard.header.size() + shard.data_bytes});
  }
  return files;
}

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(
    const Files& files, const std::string& path, std::span<const SafetensorsTensor> tensors,
    const SafetensorsOptions& options) {
  PHIAL_ASSIGN(Layout layout, Planner(path, tensors, options).plan());
  auto writer = std::make_unique<Writer>(files, path, std::move(layout));
  PHIAL_TRY(writer->open_next());
  return std::unique_ptr<SafetensorsWriter>(std::move(writer));
}

}  // namespace phial
