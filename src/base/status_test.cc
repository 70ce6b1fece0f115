#include "base/status.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/cancel.h"
#include "base/rng.h"
#include "base/utf8.h"

namespace phial {
namespace {

TEST(Status, TableIsInTheOrderOfTheEnumAndNamesAreUnique) {
  std::set<std::string> names;
  size_t index = 0;
  for (const ErrorInfo& info : error_table()) {
    EXPECT_EQ(static_cast<size_t>(info.code), index++);
    EXPECT_EQ(&error_info(info.code), &info);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(std::string(info.meaning).empty());
    EXPECT_TRUE((info.exit_code >= 1 && info.exit_code <= 6) || info.exit_code == 130);
  }
  EXPECT_EQ(index, static_cast<size_t>(ErrorCode::cancelled) + 1);
}

// Scripts rely on these: a change here is a broken promise.
TEST(Status, NamesAndExitCodesArePromised) {
  const std::pair<const char*, int> kPromised[] = {
      {"failed", 1},       {"io_error", 1},    {"template_error", 1}, {"internal", 1},
      {"usage", 2},        {"not_found", 3},   {"damaged", 3},        {"invalid_input", 3},
      {"unsupported", 4},  {"unavailable", 4}, {"out_of_memory", 5},  {"over_limit", 5},
      {"context_full", 6}, {"cancelled", 130}};
  ASSERT_EQ(error_table().size(), std::size(kPromised));
  for (size_t i = 0; i < std::size(kPromised); ++i) {
    EXPECT_STREQ(error_table()[i].name, kPromised[i].first);
    EXPECT_EQ(error_table()[i].exit_code, kPromised[i].second);
  }
}

TEST(Status, NamedConstructorsCarryTheirCode) {
  EXPECT_EQ(failed("w", "m").code, ErrorCode::failed);
  EXPECT_EQ(io_error("w", "m").code, ErrorCode::io_error);
  EXPECT_EQ(template_error("w", "m").code, ErrorCode::template_error);
  EXPECT_EQ(internal_error("w", "m").code, ErrorCode::internal);
  EXPECT_EQ(usage_error("w", "m").code, ErrorCode::usage);
  EXPECT_EQ(not_found("w", "m").code, ErrorCode::not_found);
  EXPECT_EQ(damaged("w", "m").code, ErrorCode::damaged);
  EXPECT_EQ(invalid_input("w", "m").code, ErrorCode::invalid_input);
  EXPECT_EQ(unsupported("w", "m").code, ErrorCode::unsupported);
  EXPECT_EQ(unavailable("w", "m").code, ErrorCode::unavailable);
  EXPECT_EQ(out_of_memory("w", "m").code, ErrorCode::out_of_memory);
  EXPECT_EQ(over_limit("w", "m").code, ErrorCode::over_limit);
  EXPECT_EQ(context_full("w", "m").code, ErrorCode::context_full);
  EXPECT_EQ(cancelled("w").code, ErrorCode::cancelled);
}

TEST(Status, OneLineWithTheEmptyPartsLeftOut) {
  EXPECT_EQ(damaged("a.gguf", "cut short", "fetch it again").to_string(),
            "a.gguf: cut short (fetch it again)");
  EXPECT_EQ(damaged("a.gguf", "cut short").to_string(), "a.gguf: cut short");
  EXPECT_EQ(damaged("", "cut short").to_string(), "cut short");
}

TEST(Status, OkAndErrorAreToldApart) {
  const Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_TRUE(static_cast<bool>(ok));
  const Status bad = damaged("w", "m");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, ErrorCode::damaged);
  EXPECT_EQ(bad.error().where, "w");
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\u009b"), "\\xc2\\x9b");       // C1: a one-character CSI
  EXPECT_EQ(printable("\u202e"), "\\xe2\\x80\\xae");  // right-to-left override
  EXPECT_EQ(printable("\u2066"), "\\xe2\\x81\\xa6");
  EXPECT_EQ(printable("\xff\xe2\x82"), "\\xff\\xe2\\x82");
  EXPECT_EQ(printable("é € 😀"), "é € 😀");
}

TEST(Printable, EverySingleByteBecomesVisible) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string out = printable(std::string(1, static_cast<char>(byte)));
    for (const char c : out) {
      EXPECT_TRUE(static_cast<uint8_t>(c) >= 0x20 && static_cast<uint8_t>(c) < 0x7F) << byte;
    }
    EXPECT_EQ(out.size() == 1, byte >= 0x20 && byte < 0x7F) << byte;
  }
}

// Whatever a file holds, an error stays within its length and is clean text.
TEST(Printable, StaysWithinItsLengthOnHostileText) {
  Rng rng(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text(rng.next() % 3000, '\0');
    const uint64_t kind = rng.next() % 3;
    for (char& c : text) {
      const auto byte = static_cast<uint8_t>(rng.next());
      c = static_cast<char>(kind == 0 ? byte : kind == 1 ? 0x80 | byte : 0x41);
    }
    const std::string out = printable(text);
    ASSERT_LE(out.size(), kMaxErrorText);
    ASSERT_EQ(utf8::find_invalid(out), std::nullopt);
    ASSERT_EQ(printable(out), out);
    ASSERT_LE(damaged(text, text, text).to_string().size(), kMaxErrorText);
  }
}

TEST(Printable, CutsTheMiddleOutOfLongText) {
  const std::string out = printable(std::string(700, 'a') + std::string(700, 'z'));
  EXPECT_TRUE(out.starts_with("aaaa"));
  EXPECT_TRUE(out.ends_with("zzzz"));
  EXPECT_NE(out.find(" ... "), std::string::npos);
}

Result<std::unique_ptr<int>> boxed(int value) {
  if (value < 0) return invalid_input("value", "is negative");
  return std::make_unique<int>(value);
}

Result<int> doubled(int value) {
  PHIAL_ASSIGN(const std::unique_ptr<int> box, boxed(value));
  return *box * 2;
}

Status only_even(int value) {
  PHIAL_ASSIGN(const int twice, doubled(value));
  if (twice % 4 != 0) return failed("value", "is odd");
  return {};
}

Result<int> halved(int value) {
  PHIAL_TRY(only_even(value));
  return value / 2;
}

TEST(Result, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(*halved(6), 3);
  EXPECT_EQ(halved(7).error().code, ErrorCode::failed);
  EXPECT_EQ(halved(-1).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(halved(-1).error().where, "value");
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = boxed(5);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 5);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 5);
}

Result<std::vector<int>> numbers() { return std::vector<int>{1, 2, 3}; }

TEST(Result, ARangeOverATemporaryStaysAlive) {
  int sum = 0;
  for (const int number : *numbers()) sum += number;
  EXPECT_EQ(sum, 6);
}

TEST(Result, TakesTheErrorOfAStatus) {
  const Result<int> result = Status(damaged("w", "m"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::damaged);
}

TEST(CancelFlag, IsSeenUntilReset) {
  CancelFlag flag;
  EXPECT_TRUE(check_cancelled(&flag, "here").ok());
  EXPECT_TRUE(check_cancelled(nullptr, "here").ok());
  flag.request();
  const Status status = check_cancelled(&flag, "here");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_EQ(status.error().where, "here");
  flag.reset();
  EXPECT_TRUE(check_cancelled(&flag, "here").ok());
}

}  // namespace
}  // namespace phial
