// Any bytes as a GGUF file, whole and for its vocabulary alone.
#include "formats/gguf.h"

#include <cstdlib>

namespace {

// Reads what a view shows, so that the address sanitizer sees one that leaves the file.
uint64_t sum_ends(std::span<const uint8_t> bytes) {
  return bytes.empty() ? 0 : uint64_t{bytes.front()} + bytes.back();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const bool metadata_only : {false, true}) {
    const auto contents = phial::parse_gguf({data, size}, "fuzz.gguf", metadata_only);
    if (!contents.ok()) {
      if (contents.error().to_string().size() > phial::kMaxErrorText) std::abort();
      continue;
    }
    volatile uint64_t sum = 0;
    for (const phial::NamedTensor& tensor : contents->tensors)
      sum = sum + sum_ends(tensor.view.bytes);
    for (const auto& [key, value] : contents->metadata.entries()) {
      if (contents->metadata.find(key) == nullptr) std::abort();
      if (const auto* strings = std::get_if<phial::GgufMetadata::Strings>(&value.data)) {
        for (const std::string_view text : *strings) {
          if (!text.empty()) sum = sum + static_cast<uint8_t>(text.back());
        }
      }
    }
  }
  return 0;
}
