#include "formats/gguf_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/checkpoint.h"
#include "formats/test_files.h"

namespace phial {
namespace {

using test::GgufBuilder;
using ::testing::HasSubstr;

// Part `number` of `count`, with one tensor.
GgufBuilder part(uint16_t number, uint16_t count, const std::string& tensor) {
  GgufBuilder file;
  file.pair("split.no", test::kU16, test::le(number));
  file.pair("split.count", test::kU16, test::le(count));
  file.pair("split.tensors.count", test::kI32, test::le<int32_t>(count));
  if (number == 0) file.text("general.architecture", "llama");
  file.tensor(tensor, test::kGgmlF32, {2}, "12345678");
  return file;
}

class SplitGguf : public testing::Test {
 protected:
  void SetUp() override {
    put(1, part(0, 3, "b"));
    put(2, part(1, 3, "a"));
    put(3, part(2, 3, "c"));
  }
  void put(int number, const GgufBuilder& file) { files_.put(path(number), file.build()); }
  static std::string path(int number) {
    return "m/x-0000" + std::to_string(number) + "-of-00003.gguf";
  }
  void expect_refused(const MemoryFiles& files, const std::string& model, ErrorCode code,
                      const std::string& says) {
    const auto checkpoint = read_checkpoint(files, model);
    ASSERT_FALSE(checkpoint.ok()) << "expected an error about: " << says;
    EXPECT_EQ(checkpoint.error().code, code) << checkpoint.error().to_string();
    EXPECT_THAT(checkpoint.error().to_string(), HasSubstr(says));
  }
  void expect_refused(ErrorCode code, const std::string& says) {
    expect_refused(files_, path(1), code, says);
  }

  MemoryFiles files_;
};

TEST_F(SplitGguf, PartsMakeOneModel) {
  for (const std::string& model : {path(1), std::string("m")}) {
    const auto checkpoint = read_checkpoint(files_, model);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    ASSERT_EQ(checkpoint->tensors.size(), 3u);
    const char* expected[][2] = {{"a", "x-00002-of-00003.gguf"},
                                 {"b", "x-00001-of-00003.gguf"},
                                 {"c", "x-00003-of-00003.gguf"}};
    for (size_t i = 0; i < 3; ++i) {
      const NamedTensor& tensor = checkpoint->tensors[i];
      EXPECT_EQ(tensor.name, expected[i][0]);
      EXPECT_EQ(tensor.file, expected[i][1]);
      EXPECT_EQ(std::string(tensor.view.bytes.begin(), tensor.view.bytes.end()), "12345678");
    }
    EXPECT_EQ(checkpoint->mappings.size(), 3u);
    EXPECT_NE(checkpoint->gguf.find("general.architecture"), nullptr);
    uint64_t bytes = 0;
    for (int number = 1; number <= 3; ++number)
      bytes += (*files_.map(path(number)))->bytes().size();
    EXPECT_EQ(checkpoint->file_bytes, bytes);
  }
}

TEST_F(SplitGguf, TextNeedsTheFirstPartOnly) {
  MemoryFiles files;
  files.put(path(1), part(0, 3, "b").build());
  EXPECT_TRUE(read_checkpoint(files, path(1), {.text_only = true}).ok());
  expect_refused(files, path(1), ErrorCode::not_found, "x-00002-of-00003.gguf");
}

TEST_F(SplitGguf, OnePartIsAWholeFile) {
  MemoryFiles files;
  files.put("one.gguf", part(0, 1, "b").build());
  EXPECT_TRUE(read_checkpoint(files, "one.gguf").ok());
}

TEST_F(SplitGguf, LaterPartsAreNotOpened) {
  expect_refused(files_, path(2), ErrorCode::unsupported, "name the first: x-00001-of-00003.gguf");
}

TEST_F(SplitGguf, NamesThatDoNotSayWhichPart) {
  MemoryFiles files;
  files.put("x.gguf", part(0, 3, "b").build());
  expect_refused(files, "x.gguf", ErrorCode::damaged, "-00001-of-00003.gguf");
  files.put("x-00001-of-00002.gguf", part(0, 3, "b").build());
  expect_refused(files, "x-00001-of-00002.gguf", ErrorCode::damaged, "is part 1 of 3");
}

TEST_F(SplitGguf, PartsOfAnotherModelOrPlace) {
  put(2, part(2, 3, "a"));
  expect_refused(ErrorCode::damaged, "says that it is part 3 of 3; expected part 2 of 3");
  put(2, part(1, 2, "a"));
  expect_refused(ErrorCode::damaged, "says that it is part 2 of 2; expected part 2 of 3");
  GgufBuilder whole;
  whole.tensor("a", test::kGgmlF32, {2}, "12345678");
  put(2, whole);
  expect_refused(ErrorCode::damaged, "says that it is part 1 of 1");
}

TEST_F(SplitGguf, ATensorInTwoParts) {
  put(3, part(2, 3, "b"));
  expect_refused(ErrorCode::damaged, "tensor \"b\" is in another part, too");
}

TEST_F(SplitGguf, AnotherNumberOfTensors) {
  GgufBuilder third = part(2, 3, "c");
  third.tensor("d", test::kGgmlF32, {2}, "12345678");
  put(3, third);
  expect_refused(ErrorCode::damaged, "announces 3 tensors, but the parts hold 4");
}

TEST_F(SplitGguf, NumbersThatMakeNoSense) {
  for (const auto& [number, count] : {std::pair<int32_t, int32_t>{0, -1},
                                      {-1, 3},
                                      {3, 3},
                                      {0, 4097},
                                      {INT32_MAX, INT32_MAX},
                                      {INT32_MIN, INT32_MIN}}) {
    GgufBuilder file;
    file.pair("split.no", test::kI32, test::le(number));
    file.pair("split.count", test::kI32, test::le(count));
    put(1, file);
    expect_refused(ErrorCode::damaged, "at most 4096 parts");
  }
  GgufBuilder file;
  file.text("split.count", "3");
  put(1, file);
  expect_refused(ErrorCode::damaged, "split.count");
}

TEST_F(SplitGguf, EveryPartIsCheckedAsAFile) {
  const std::string third = part(2, 3, "c").build();
  // The padding behind the last tensor may be missing.
  for (size_t length = 0; length < third.size() - 24; ++length) {
    files_.put(path(3), third.substr(0, length));
    const auto checkpoint = read_checkpoint(files_, path(1));
    ASSERT_FALSE(checkpoint.ok()) << length;
    EXPECT_THAT(checkpoint.error().to_string(), HasSubstr("x-00003-of-00003.gguf"));
  }
}

TEST(GgufParts, AreToldByTheirNames) {
  for (const char* name : {"x-00002-of-00003.gguf", "-x-99999-of-99999.gguf"}) {
    EXPECT_TRUE(is_later_gguf_part(name)) << name;
  }
  for (const char* name : {"x-00001-of-00003.gguf", "x.gguf", "", "-00002-of-00003.gguf",
                           "x-0002-of-00003.gguf", "x-0000a-of-00003.gguf", "x-00002-of-00003.GGUF",
                           "x_00002-of-00003.gguf", "x-00002-as-00003.gguf"}) {
    EXPECT_FALSE(is_later_gguf_part(name)) << name;
  }
}

}  // namespace
}  // namespace phial
