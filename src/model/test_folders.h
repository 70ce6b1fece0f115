// Writes folders of targets, for tests: what the quantize room does, in one line each.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "formats/safetensors_writer.h"
#include "model/hf_target.h"
#include "model/mlx_target.h"
#include "sys/files.h"

namespace phial::test {

inline void write_text(const Files& files, const std::string& path, const std::string& text) {
  auto writer = files.create(path);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->append({reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
  ASSERT_TRUE((*writer)->commit().ok());
}

// All values of `tensor`, rows in the order of the target.
inline std::vector<float> values_of(const TargetTensor& tensor) {
  if (!tensor.is_matrix()) return tensor.values;
  std::vector<float> out;
  for (const TargetRows& piece : tensor.pieces) {
    for (int64_t r = 0; r < piece.view.rows; ++r) {
      out.resize(out.size() + static_cast<size_t>(piece.view.columns));
      piece.view.decode(piece.source_row(r), &*out.end() - piece.view.columns);
    }
  }
  return out;
}

inline std::vector<uint8_t> encoded(const std::vector<float>& values, Grid grid) {
  std::vector<uint8_t> out(
      static_cast<size_t>(row_bytes(grid, static_cast<int64_t>(values.size()))));
  EXPECT_TRUE(
      encode_row(grid, values.data(), static_cast<int64_t>(values.size()), out.data()).ok());
  return out;
}

// Every tensor in the smallest float that holds it exactly.
inline void write_float_folder(const Files& files, const std::string& folder,
                               const HfTarget& target) {
  std::vector<SafetensorsTensor> tensors;
  for (const TargetTensor& tensor : target.tensors) {
    tensors.push_back({tensor.name, exact_float_grid(values_of(tensor)), tensor.shape});
  }
  auto writer = SafetensorsWriter::create(files, folder + "/model.safetensors", tensors);
  ASSERT_TRUE(writer.ok()) << writer.error().to_string();
  for (size_t i = 0; i < tensors.size(); ++i) {
    ASSERT_TRUE((*writer)->append(encoded(values_of(target.tensors[i]), tensors[i].grid)).ok());
  }
  ASSERT_TRUE((*writer)->commit().ok());
  for (const TargetFile& file : target.files) {
    write_text(files, folder + "/" + file.name, file.bytes);
  }
  write_text(files, folder + "/config.json", config_file(target.config, Grid::f32).bytes);
}

// The name of a test case that is a path.
inline std::string path_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.substr(info.param.rfind('/') + 1);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace phial::test
