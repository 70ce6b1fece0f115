// safetensors files (huggingface.co/docs/safetensors):
//
//   u64 bytes of the header  header: JSON, begins with '{', may end in blanks  data
//   {"__metadata__": {"format": "pt"}, "NAME": {"dtype": "BF16", "shape": [2, 3],
//    "data_offsets": [begin, end]}, ...}
//
// Offsets count from the start of the data. The tensors cover all of it without holes or overlap,
// so that no second meaning can hide in the file. Tensors called kSafetensorsPadding and a number
// are what phial's writer fills gaps with; they are not shown. A member of __metadata__ called
// kSafetensorsDescription and a tensor's name becomes NamedTensor::description.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "sys/files.h"

namespace phial {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // as the reference
inline constexpr size_t kMaxSafetensorsShards = 4096;
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";
inline constexpr std::string_view kSafetensorsPadding = "__padding__.";
inline constexpr std::string_view kSafetensorsDescription = "phial.";

// How safetensors calls a grid ("BF16", "U32"); null for those that it has no name for.
const char* safetensors_dtype(Grid grid);

// Whether `bytes` begin like a safetensors file: a plausible header length, then '{'.
bool looks_like_safetensors(std::span<const uint8_t> bytes);

// Reads the file `bytes`, called `name` in messages; in the order of the data. The views point into
// `bytes`. Errors: damaged; unsupported (naming tensor and dtype); over_limit (parse budget).
Result<std::vector<NamedTensor>> parse_safetensors(std::span<const uint8_t> bytes,
                                                   std::string_view name);

struct SafetensorsShards {
  std::vector<NamedTensor> tensors;
  std::vector<std::shared_ptr<const MappedFile>> mappings;  // one per shard, owners of the views
};

// Reads a model in several files: `index_path` is its model.safetensors.index.json, whose
// weight_map gives for each tensor the file, in the same folder, that holds it. The shards must
// hold exactly the tensors that the map places in them. Errors as above, and not_found for a
// missing shard.
Result<SafetensorsShards> read_sharded_safetensors(const Files& files,
                                                   const std::string& index_path);

}  // namespace phial
