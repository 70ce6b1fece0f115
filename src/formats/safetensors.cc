#include "formats/safetensors.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/budget.h"
#include "base/byte_reader.h"
#include "base/json.h"
#include "formats/extent.h"

namespace phial {
namespace {

constexpr uint64_t kMaxIndexBytes = 100'000'000;
constexpr size_t kMaxRank = 8;
constexpr size_t kHeaderDepth = 16;
constexpr uint64_t kEntryBytes = 64;  // of a map of views, about

struct Dtype {
  const char* name;
  Grid grid;
};
constexpr Dtype kDtypes[] = {
    {"F64", Grid::f64},      {"F32", Grid::f32},         {"F16", Grid::f16},
    {"BF16", Grid::bf16},    {"F8_E4M3", Grid::f8_e4m3}, {"F8_E5M2", Grid::f8_e5m2},
    {"BOOL", Grid::boolean}, {"I8", Grid::i8},           {"U8", Grid::u8},
    {"I16", Grid::i16},      {"U16", Grid::u16},         {"I32", Grid::i32},
    {"U32", Grid::u32},      {"I64", Grid::i64},         {"U64", Grid::u64},
};

// A tensor with its place in the data.
struct Placed {
  NamedTensor tensor;
  uint64_t begin;
  uint64_t end;
};

class HeaderParser {
 public:
  HeaderParser(std::string_view name, uint64_t data_bytes)
      : name_(name), file_(file_name_of(name)), data_bytes_(data_bytes) {}

  Result<std::vector<Placed>> parse(std::string_view text) {
    ParseBudget budget = ParseBudget::for_input(text.size() + data_bytes_);
    PHIAL_ASSIGN(const Json header, parse_json(text, name_, budget, {.max_depth = kHeaderDepth}));
    const Json::Object* members = header.if_object();
    if (members == nullptr) return damaged(name_, "the header is no JSON object");
    PHIAL_TRY(budget.charge(members->size() * (sizeof(Placed) + file_.size()), name_));
    std::vector<Placed> placed;
    placed.reserve(members->size());
    for (const auto& [key, value] : *members) {
      if (key == kSafetensorsMetadataKey) {
        PHIAL_TRY(check_metadata(value));
        continue;
      }
      PHIAL_TRY(budget.charge(key.size(), name_));
      PHIAL_ASSIGN(Placed tensor, parse_tensor(key, value));
      placed.push_back(std::move(tensor));
    }
    PHIAL_TRY(describe(header.find(kSafetensorsMetadataKey), budget, placed));
    PHIAL_TRY(check_cover(placed));
    return placed;
  }

 private:
  Error tensor_error(ErrorCode code, std::string_view tensor, std::string_view message) const {
    return make_error(code, name_,
                      "tensor \"" + std::string(tensor) + "\": " + std::string(message));
  }

  Status check_metadata(const Json& value) const {
    const Json::Object* members = value.if_object();
    if (members == nullptr) {
      return damaged(name_, std::string("__metadata__: expected an object of strings, found ") +
                                value.kind_name());
    }
    for (const auto& [key, text] : *members) {
      if (text.if_string() == nullptr) {
        return damaged(
            name_, "__metadata__: \"" + key + "\": expected a string, found " + text.kind_name());
      }
    }
    return {};
  }

  Status describe(const Json* metadata, ParseBudget& budget, std::vector<Placed>& placed) const {
    if (metadata == nullptr) return {};
    std::unordered_map<std::string_view, const std::string*> texts;
    for (const auto& [key, text] : *metadata->if_object()) {
      if (!key.starts_with(kSafetensorsDescription)) continue;
      PHIAL_TRY(budget.charge(kEntryBytes + text.if_string()->size(), name_));
      texts.emplace(std::string_view(key).substr(kSafetensorsDescription.size()), text.if_string());
    }
    if (texts.empty()) return {};
    for (Placed& item : placed) {
      const auto text = texts.find(item.tensor.name);
      if (text != texts.end()) item.tensor.description = *text->second;
    }
    return {};
  }

  // A member that must be there.
  Result<const Json*> member(std::string_view tensor, const Json& entry, const char* key) const {
    const Json* value = entry.find(key);
    if (value == nullptr) {
      return tensor_error(ErrorCode::damaged, tensor, std::string(key) + " is missing");
    }
    return value;
  }

  Result<std::vector<int64_t>> sizes(std::string_view tensor, const Json& entry,
                                     const char* key) const {
    PHIAL_ASSIGN(const Json* value, member(tensor, entry, key));
    const auto refuse = [&] {
      return tensor_error(ErrorCode::damaged, tensor,
                          std::string(key) + ": expected a list of sizes of at most 63 bits");
    };
    const Json::Array* items = value->if_array();
    if (items == nullptr) return refuse();
    std::vector<int64_t> out;
    out.reserve(items->size());
    for (const Json& item : *items) {
      const int64_t* size = item.if_integer();
      if (size == nullptr || *size < 0) return refuse();
      out.push_back(*size);
    }
    return out;
  }

  Result<Grid> grid_of(std::string_view tensor, const Json& entry) const {
    PHIAL_ASSIGN(const Json* value, member(tensor, entry, "dtype"));
    const std::string* dtype = value->if_string();
    if (dtype == nullptr) {
      return tensor_error(ErrorCode::damaged, tensor,
                          std::string("dtype: expected a string, found ") + value->kind_name());
    }
    std::string known;
    for (const Dtype& candidate : kDtypes) {
      if (*dtype == candidate.name) return candidate.grid;
      known += (known.empty() ? "" : ", ") + std::string(candidate.name);
    }
    return tensor_error(ErrorCode::unsupported, tensor,
                        "is stored as " + *dtype + "; phial reads " + known);
  }

  Result<Placed> parse_tensor(const std::string& name, const Json& entry) const {
    if (entry.if_object() == nullptr) {
      return tensor_error(ErrorCode::damaged, name,
                          std::string("expected an object, found ") + entry.kind_name());
    }
    PHIAL_ASSIGN(const Grid grid, grid_of(name, entry));
    PHIAL_ASSIGN(std::vector<int64_t> shape, sizes(name, entry, "shape"));
    PHIAL_ASSIGN(const std::vector<int64_t> offsets, sizes(name, entry, "data_offsets"));
    if (shape.size() > kMaxRank) {
      return tensor_error(ErrorCode::unsupported, name,
                          "has " + std::to_string(shape.size()) + " axes; phial reads up to 8");
    }
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      return tensor_error(ErrorCode::damaged, name, "data_offsets: expected [begin, end]");
    }
    const auto begin = static_cast<uint64_t>(offsets[0]);
    const auto end = static_cast<uint64_t>(offsets[1]);
    if (end > data_bytes_) {
      return tensor_error(ErrorCode::damaged, name,
                          "data_offsets: ends at byte " + std::to_string(end) +
                              " of the data, but the file has only " + std::to_string(data_bytes_));
    }
    const auto bytes = extent_bytes(grid, shape);
    if (!bytes || *bytes != end - begin) {
      return tensor_error(ErrorCode::damaged, name,
                          "data_offsets: " + std::to_string(end - begin) +
                              " bytes, but shape and dtype make " +
                              (bytes ? std::to_string(*bytes) : "more than any file holds"));
    }
    NamedTensor tensor;
    tensor.name = name;
    tensor.view.grid = grid;
    tensor.view.shape = std::move(shape);
    tensor.dtype = *entry.find("dtype")->if_string();
    tensor.file = file_;
    return Placed{std::move(tensor), begin, end};
  }

  // Sorts by place; the tensors must follow each other from the first byte of the data to the last.
  Status check_cover(std::vector<Placed>& placed) const {
    std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
      return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
    });
    uint64_t covered = 0;
    for (const Placed& item : placed) {
      if (item.begin != covered) {
        return tensor_error(ErrorCode::damaged, item.tensor.name,
                            "data_offsets: begins at byte " + std::to_string(item.begin) +
                                " of the data; expected " + std::to_string(covered) +
                                (item.begin < covered ? " (it overlaps another tensor)"
                                                      : " (bytes of no tensor lie before it)"));
      }
      covered = item.end;
    }
    if (covered != data_bytes_) {
      return damaged(
          name_, std::to_string(data_bytes_ - covered) + " bytes at the end belong to no tensor");
    }
    return {};
  }

  const std::string_view name_;
  const std::string file_;
  const uint64_t data_bytes_;
};

// The weight_map of an index: tensor name to file name.
using WeightMap = std::map<std::string, std::string, std::less<>>;

Result<WeightMap> read_weight_map(const Files& files, const std::string& index_path) {
  PHIAL_ASSIGN(const std::shared_ptr<const MappedFile> file, files.map(index_path));
  ParseBudget budget = ParseBudget::for_input(file->bytes().size());
  PHIAL_ASSIGN(const Json index,
               parse_json(file->text(), index_path, budget,
                          {.max_depth = kHeaderDepth, .max_bytes = kMaxIndexBytes}));
  const Json* map = index.find("weight_map");
  if (map == nullptr || map->if_object() == nullptr || map->if_object()->empty()) {
    return damaged(index_path, "weight_map: expected an object that names a file for each tensor");
  }
  WeightMap out;
  for (const auto& [tensor, shard] : *map->if_object()) {
    const std::string* shard_name = shard.if_string();
    if (shard_name == nullptr) {
      return damaged(index_path, "weight_map: \"" + tensor + "\": expected a file name, found " +
                                     shard.kind_name());
    }
    PHIAL_TRY(budget.charge(
        4 * sizeof(void*) + 2 * sizeof(std::string) + tensor.size() + shard_name->size(),
        index_path));
    out.emplace(tensor, *shard_name);
  }
  return out;
}

// The shard `shard_name`, read from `path`, holds exactly the tensors that the map places there:
// `expected`.
Status check_shard(const std::vector<NamedTensor>& shard, std::string_view shard_name,
                   const std::vector<std::string_view>& expected, const WeightMap& map,
                   const std::string& path) {
  std::unordered_set<std::string_view> held;
  for (const NamedTensor& tensor : shard) {
    held.insert(tensor.name);
    const auto place = map.find(tensor.name);
    if (place == map.end()) {
      return damaged(path, "tensor \"" + tensor.name + "\" is not in the index's weight_map");
    }
    if (place->second != shard_name) {
      return damaged(
          path, "tensor \"" + tensor.name + "\": the index places it in \"" + place->second + "\"");
    }
  }
  for (const std::string_view tensor : expected) {
    if (!held.contains(tensor)) {
      return damaged(
          path, "tensor \"" + std::string(tensor) + "\" is missing, but the index places it here");
    }
  }
  return {};
}

}  // namespace

const char* safetensors_dtype(Grid grid) {
  for (const Dtype& candidate : kDtypes) {
    if (candidate.grid == grid) return candidate.name;
  }
  return nullptr;
}

bool looks_like_safetensors(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes, "");
  const Result<uint64_t> header_bytes = reader.read<uint64_t>("");
  return header_bytes.ok() && *header_bytes <= kMaxSafetensorsHeaderBytes &&
         reader.remaining() > 0 && bytes[reader.position()] == '{';
}

Result<std::vector<NamedTensor>> parse_safetensors(std::span<const uint8_t> bytes,
                                                   std::string_view name) {
  ByteReader reader(bytes, name);
  PHIAL_ASSIGN(const uint64_t header_bytes, reader.read<uint64_t>("the header's length"));
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return damaged(name, "announces a header of " + std::to_string(header_bytes) +
                             " bytes; at most 100000000 are allowed");
  }
  PHIAL_ASSIGN(const auto raw, reader.read_bytes(header_bytes, "the header"));
  const std::string_view header(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (!header.starts_with('{')) return damaged(name, "the header does not begin with '{'");
  PHIAL_ASSIGN(std::vector<Placed> placed, HeaderParser(name, reader.remaining()).parse(header));
  const std::span<const uint8_t> data = bytes.subspan(reader.position());
  std::vector<NamedTensor> tensors;
  tensors.reserve(placed.size());
  for (Placed& item : placed) {
    if (item.tensor.name.starts_with(kSafetensorsPadding)) continue;
    item.tensor.view.bytes = data.subspan(item.begin, item.end - item.begin);
    tensors.push_back(std::move(item.tensor));
  }
  return tensors;
}

Result<SafetensorsShards> read_sharded_safetensors(const Files& files,
                                                   const std::string& index_path) {
  PHIAL_ASSIGN(const WeightMap map, read_weight_map(files, index_path));
  std::map<std::string_view, std::vector<std::string_view>> shards;  // tensors by file name
  for (const auto& [tensor, shard_name] : map) shards[shard_name].push_back(tensor);
  if (shards.size() > kMaxSafetensorsShards) {
    return over_limit(index_path, "weight_map names " + std::to_string(shards.size()) +
                                      " files; at most " + std::to_string(kMaxSafetensorsShards) +
                                      " are opened");
  }
  // All names are looked at before any file is: an index with one bad name opens nothing.
  std::vector<std::string> paths;
  for (const auto& [shard_name, expected] : shards) {
    PHIAL_ASSIGN(std::string path,
                 resolve_sidecar(folder_of(index_path), shard_name, index_path + ": weight_map"));
    paths.push_back(std::move(path));
  }
  SafetensorsShards out;
  auto next_path = paths.begin();
  for (const auto& [shard_name, expected] : shards) {
    const std::string& path = *next_path++;
    PHIAL_ASSIGN(std::shared_ptr<const MappedFile> file, files.map(path));
    PHIAL_ASSIGN(std::vector<NamedTensor> shard, parse_safetensors(file->bytes(), path));
    PHIAL_TRY(check_shard(shard, shard_name, expected, map, path));
    std::move(shard.begin(), shard.end(), std::back_inserter(out.tensors));
    out.mappings.push_back(std::move(file));
  }
  return out;
}

}  // namespace phial
