#include <cstring>
#include <new>
#include <set>
#include <stdexcept>

#include "base/json.h"
#include "base/npy.h"
#include "capi/guard.h"
#include "capi/test_help.h"

namespace phial::capi {
namespace {

TEST(Errors, ListHoldsEveryCodeOnceWithAnExitCode) {
  phial_buffer* json = nullptr;
  must_succeed(phial_errors_json(&json));
  Result<Json> list = parse_json(take_text(json), "errors");
  ASSERT_TRUE(list.ok());
  std::set<std::string> codes;
  const std::set<int64_t> exit_codes = {1, 2, 3, 4, 5, 6, 130};
  for (const Json& entry : *list->if_array()) {
    EXPECT_TRUE(codes.insert(*entry.find("code")->if_string()).second);
    EXPECT_TRUE(exit_codes.contains(*entry.find("exit_code")->if_integer()));
    EXPECT_FALSE(entry.find("meaning")->if_string()->empty());
  }
  EXPECT_EQ(codes.size(), error_table().size());
}

TEST(Errors, CreatedOnesArePrintableAndShort) {
  const std::string longest(5000, 'x');
  phial_error* error = phial_error_create("damaged", "a\x1b[2Jb", longest.c_str(), "line\nbreak");
  EXPECT_STREQ(phial_error_code(error), "damaged");
  EXPECT_EQ(phial_error_exit_code(error), 3);
  EXPECT_STREQ(phial_error_where(error), "a\\x1b[2Jb");
  EXPECT_STREQ(phial_error_hint(error), "line\\nbreak");
  EXPECT_LE(std::strlen(phial_error_message(error)), 600u);
  EXPECT_LE(std::strlen(phial_error_text(error)), 590u);
  phial_error_free(error);
}

TEST(Errors, TextJoinsThePartsThatAreThere) {
  phial_error* error = phial_error_create("usage", "here", "wrong", "do this");
  EXPECT_STREQ(phial_error_text(error), "here: wrong (do this)");
  phial_error_free(error);
  error = phial_error_create("usage", nullptr, "wrong", nullptr);
  EXPECT_STREQ(phial_error_text(error), "wrong");
  phial_error_free(error);
}

TEST(Errors, UnknownCodeIsInternal) {
  EXPECT_EQ(code_of(phial_error_create("no such code", "", "", "")), "internal");
  EXPECT_EQ(code_of(phial_error_create(nullptr, "", "", "")), "internal");
}

TEST(Errors, AccessorsAcceptNull) {
  EXPECT_STREQ(phial_error_code(nullptr), "");
  EXPECT_STREQ(phial_error_message(nullptr), "");
  EXPECT_STREQ(phial_error_where(nullptr), "");
  EXPECT_STREQ(phial_error_hint(nullptr), "");
  EXPECT_STREQ(phial_error_text(nullptr), "");
  EXPECT_EQ(phial_error_exit_code(nullptr), 0);
  EXPECT_NE(phial_buffer_data(nullptr), nullptr);
  EXPECT_EQ(phial_buffer_bytes(nullptr), 0u);
}

TEST(Guard, NoExceptionPasses) {
  EXPECT_EQ(code_of(guarded("f", []() -> Status { throw std::bad_alloc(); })), "out_of_memory");
  EXPECT_EQ(code_of(guarded("f", []() -> Status { throw 1; })), "internal");
  phial_error* error = guarded("f", []() -> Status { throw std::runtime_error("reason"); });
  EXPECT_STREQ(phial_error_where(error), "f");
  EXPECT_STREQ(phial_error_message(error), "reason");
  EXPECT_EQ(code_of(error), "internal");
  EXPECT_EQ(guarded("f", []() -> Status { return {}; }), nullptr);
}

TEST(Guard, OutOfMemoryNeedsNoMemoryAndIsNeverFreed) {
  phial_error* first = guarded("f", []() -> Status { throw std::bad_alloc(); });
  phial_error_free(first);
  phial_error* second = guarded("f", []() -> Status { throw std::bad_alloc(); });
  EXPECT_EQ(first, second);
  EXPECT_STREQ(phial_error_message(second), "out of memory");
  EXPECT_EQ(phial_error_exit_code(second), 5);
}

TEST(Text, CheckNamesTheByteOffset) {
  EXPECT_EQ(phial_text_check("h\xC3\xA9", 3, "x"), nullptr);
  EXPECT_EQ(phial_text_check(nullptr, 0, nullptr), nullptr);
  phial_error* error = phial_text_check("ab\xFF", 3, "PROMPT");
  ASSERT_NE(error, nullptr);
  EXPECT_STREQ(phial_error_where(error), "PROMPT");
  EXPECT_NE(std::strstr(phial_error_message(error), "byte 2"), nullptr);
  EXPECT_EQ(code_of(error), "invalid_input");
  EXPECT_EQ(code_of(phial_text_check(nullptr, 1, "x")), "usage");
}

TEST(Npy, HeaderMakesAFileOfTheShape) {
  phial_buffer* header = nullptr;
  must_succeed(phial_npy_header(2, 3, &header));
  std::string file = take_text(header);
  const float values[6] = {1, 2, 3, 4, 5, 6};
  file.append(reinterpret_cast<const char*>(values), sizeof(values));
  const Result<NpyArray> array =
      parse_npy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "x");
  ASSERT_TRUE(array.ok());
  EXPECT_EQ(array->shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(array->values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(Buffers, ArraysAreAlignedAndTextsTerminated) {
  for (size_t bytes = 0; bytes < 9; ++bytes) {
    phial_buffer* buffer = text_buffer(std::string(bytes, 'a'));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(phial_buffer_data(buffer)) % alignof(int32_t), 0u);
    EXPECT_EQ(take_text(buffer), std::string(bytes, 'a'));
  }
  EXPECT_EQ(take_ids(ids_buffer(std::vector<int32_t>{7, -1})), (std::vector<int32_t>{7, -1}));
  EXPECT_TRUE(take_ids(ids_buffer({})).empty());
}

}  // namespace
}  // namespace phial::capi
