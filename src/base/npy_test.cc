#include "base/npy.h"

#include <gtest/gtest.h>

#include <cstring>

namespace phial {
namespace {

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A file with a header of NumPy's form around `dict`.
std::string file_with(std::string dict, std::span<const float> values, char major = 1) {
  while ((10 + dict.size() + 1) % 64 != 0) dict += ' ';
  dict += '\n';
  std::string out = "\x93NUMPY";
  out += major;
  out += '\0';
  out += static_cast<char>(dict.size() & 0xFF);
  out += static_cast<char>(dict.size() >> 8);
  if (major > 1) out += std::string(2, '\0');
  out += dict;
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return out;
}

ErrorCode error_of(std::string_view file) {
  const Result<NpyArray> array = parse_npy(bytes_of(file), "a.npy");
  EXPECT_FALSE(array.ok());
  if (array.ok()) return ErrorCode::internal;
  EXPECT_NE(array.error().where.find("a.npy"), std::string::npos);
  return array.error().code;
}

// What numpy 2.4 writes for np.arange(6, dtype="<f4").reshape(2, 3).
std::string numpy_file() {
  std::string out("\x93NUMPY\x01\x00v\x00", 10);
  out += "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  out.append(128 - 1 - out.size(), ' ');
  out += '\n';
  for (int i = 0; i < 6; ++i) {
    const auto value = static_cast<float>(i);
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return out;
}

TEST(Npy, ReadsWhatNumpyWrites) {
  const Result<NpyArray> array = parse_npy(bytes_of(numpy_file()), "a.npy");
  ASSERT_TRUE(array.ok()) << array.error().to_string();
  EXPECT_EQ(array->shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(array->values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Npy, HeadersHaveNumpysForm) {
  const std::pair<std::vector<uint64_t>, const char*> kCases[] = {
      {{}, "()"}, {{7}, "(7,)"}, {{2, 3}, "(2, 3)"}, {{0, 4}, "(0, 4)"}, {{1, 2, 3}, "(1, 2, 3)"}};
  for (const auto& [shape, text] : kCases) {
    const std::string header = npy_header(shape);
    const std::string dict =
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + text + ", }";
    EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    EXPECT_EQ(header.substr(10, dict.size()), dict);
    EXPECT_EQ(header.find_first_not_of(' ', 10 + dict.size()), header.size() - 1);
    EXPECT_EQ(header.back(), '\n');
    EXPECT_EQ(header.size() % 64, 0u);
    const size_t stored = static_cast<uint8_t>(header[8]) + 256u * static_cast<uint8_t>(header[9]);
    EXPECT_EQ(stored + 10, header.size());
  }
}

TEST(Npy, ReadsWhatItWrites) {
  const std::vector<std::vector<uint64_t>> shapes = {
      {}, {0}, {5}, {2, 3}, {3, 0, 2}, {1, 1, 1, 1}, std::vector<uint64_t>(32, 1)};
  for (const std::vector<uint64_t>& shape : shapes) {
    uint64_t count = 1;
    for (const uint64_t extent : shape) count *= extent;
    std::string file = npy_header(shape);
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) - 0.5f;
    file.append(reinterpret_cast<const char*>(values.data()), count * sizeof(float));
    const Result<NpyArray> array = parse_npy(bytes_of(file), "a.npy");
    ASSERT_TRUE(array.ok()) << array.error().to_string();
    EXPECT_EQ(array->shape, shape);
    EXPECT_EQ(array->values, values);
  }
}

TEST(Npy, ReadsLaterVersions) {
  const float values[] = {1, 2};
  for (const char major : {'\x02', '\x03'}) {
    const std::string file =
        file_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", values, major);
    const Result<NpyArray> array = parse_npy(bytes_of(file), "a.npy");
    ASSERT_TRUE(array.ok()) << array.error().to_string();
    EXPECT_EQ(array->values, (std::vector<float>{1, 2}));
  }
  EXPECT_EQ(error_of(file_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", values,
                               '\x04')),
            ErrorCode::unsupported);
}

TEST(Npy, OtherTypesAndOrdersAreNotSupported) {
  const float values[] = {1, 2};
  for (const char* dict : {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
                           "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
                           "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
                           "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }"}) {
    EXPECT_EQ(error_of(file_with(dict, values)), ErrorCode::unsupported) << dict;
  }
}

TEST(Npy, MoreAxesThanNumpyHasAreNotSupported) {
  std::string ones;
  for (size_t i = 0; i <= kMaxNpyAxes; ++i) ones += "1, ";
  const float value[] = {1};
  EXPECT_EQ(error_of(file_with(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (" + ones + "), }", value)),
            ErrorCode::unsupported);
}

TEST(Npy, ContradictionsAreDamage) {
  const float value[] = {1};
  for (const char* shape : {"(2,)", "(0,)", "(3 4)", "(-1,)", "(1.0,)", "(,)", "(1,,)", "(x,)",
                            "[1]", "(1", "(18446744073709551616,)", "(4294967296, 4294967296)",
                            "(0, 18446744073709551615, 2)", "(9223372036854775808, 2)", "None"}) {
    const std::string dict =
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + shape + ", }";
    const ErrorCode code = error_of(file_with(dict, value));
    EXPECT_EQ(code, ErrorCode::damaged) << shape;
  }
  EXPECT_EQ(error_of(file_with("{'descr': '<f4', 'fortran_order': False, }", value)),
            ErrorCode::damaged);
}

TEST(Npy, CutAtEveryByteIsDamage) {
  const std::string file = numpy_file();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(error_of(file.substr(0, size)), ErrorCode::damaged) << size;
  }
  EXPECT_EQ(error_of(file + "x"), ErrorCode::damaged);
}

}  // namespace
}  // namespace phial
