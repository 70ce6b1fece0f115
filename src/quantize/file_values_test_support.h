// For tests: what a file holds.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "sys/files.h"
#include "tensor/numbers.h"

namespace phial {

// The values of every tensor, by name.
inline std::map<std::string, std::vector<float>> values_of(const Files& files,
                                                           const std::string& path) {
  std::map<std::string, std::vector<float>> out;
  const Checkpoint checkpoint = read_checkpoint(files, path).value();
  for (const NamedTensor& tensor : checkpoint.tensors) {
    std::vector<float>& values = out[tensor.name];
    values.resize(static_cast<size_t>(tensor.view.elements()));
    decode_row(tensor.view.grid, tensor.view.bytes.data(), tensor.view.elements(), values.data());
  }
  return out;
}

}  // namespace phial
