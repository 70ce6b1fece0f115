// Any bytes as a safetensors file, and as the index and the shard of a sharded model: there the
// first two bytes say how long the index is.
#include "formats/safetensors.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "formats/checkpoint.h"

namespace {

void check(const phial::Error& error) {
  if (error.to_string().size() > phial::kMaxErrorText) std::abort();
}

void touch(const std::vector<phial::NamedTensor>& tensors) {
  volatile uint64_t sum = 0;
  for (const phial::NamedTensor& tensor : tensors) {
    if (!tensor.view.bytes.empty())
      sum = sum + tensor.view.bytes.front() + tensor.view.bytes.back();
    if (tensor.view.elements() < 0) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const auto tensors = phial::parse_safetensors(bytes, "fuzz.safetensors");
  tensors.ok() ? touch(*tensors) : check(tensors.error());

  if (size < 2) return 0;
  const std::string text(bytes.begin() + 2, bytes.end());
  const size_t index_bytes = std::min<size_t>(data[0] | data[1] << 8, text.size());
  phial::MemoryFiles files;
  files.put("m/model.safetensors.index.json", text.substr(0, index_bytes));
  files.put("m/s", text.substr(index_bytes));
  const auto checkpoint = phial::read_checkpoint(files, "m");
  checkpoint.ok() ? touch(checkpoint->tensors) : check(checkpoint.error());
  return 0;
}
