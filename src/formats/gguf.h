// GGUF files, versions 2 and 3, little-endian (ggml docs/gguf.md):
//
//   "GGUF"  u32 version  u64 tensors  u64 pairs
//   pairs:   string key  u32 type  value              string = u64 bytes, then the bytes
//   tensors: string name  u32 n_dims  u64 dims[]  u32 type  u64 offset
//   zeros up to a multiple of general.alignment (32), then the data of all tensors
//
// dims[0] is the length of a row; views turn the order around. Offsets count from the start of the
// data. Each tensor begins where the one before it ends, rounded up to the alignment.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/gguf_metadata.h"

namespace phial {

struct GgufContents {
  GgufMetadata metadata;
  std::vector<NamedTensor> tensors;  // in file order; views into `bytes`
};

// Whether `bytes` begin with GGUF's magic.
bool looks_like_gguf(std::span<const uint8_t> bytes);

// Reads the file `bytes`, called `name` in messages; the result points into `bytes`. With
// `metadata_only`, nothing behind the key-value pairs is looked at.
// Errors: damaged; unsupported (version, byte order, nested array, tensor type); over_limit (parse
// budget).
Result<GgufContents> parse_gguf(std::span<const uint8_t> bytes, std::string_view name,
                                bool metadata_only);

}  // namespace phial
