#include "base/byte_reader.h"

#include <gtest/gtest.h>

#include <array>

namespace phial {
namespace {

constexpr std::array<uint8_t, 16> kBytes = {0xFF, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
                                            0x08, 0x00, 0x00, 0x80, 0x3F, 0xFE, 0xFF, 0xAA};

TEST(ByteReader, ReadsUnalignedLittleEndianNumbers) {
  ByteReader reader(kBytes, "a.bin");
  EXPECT_EQ(*reader.read<uint8_t>("x"), 0xFF);
  EXPECT_EQ(*reader.read<uint64_t>("x"), 0x0807060504030201u);
  EXPECT_EQ(*reader.read<float>("x"), 1.0f);
  EXPECT_EQ(*reader.read<int16_t>("x"), -2);
  EXPECT_EQ(reader.position(), 15u);
  EXPECT_EQ(reader.remaining(), 1u);
}

TEST(ByteReader, ViewsPointIntoTheInput) {
  ByteReader reader(kBytes, "a.bin");
  EXPECT_TRUE(reader.skip(3, "x").ok());
  const auto view = reader.read_bytes(4, "x");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->data(), kBytes.data() + 3);
  EXPECT_EQ(view->size(), 4u);
}

// From every position, for every size: read whole or refused without moving.
TEST(ByteReader, NothingIsReadPastTheEnd) {
  for (size_t at = 0; at <= kBytes.size(); ++at) {
    for (size_t n = 0; n <= kBytes.size() + 2; ++n) {
      ByteReader reader(kBytes, "a.bin");
      ASSERT_TRUE(reader.skip(at, "x").ok());
      const bool fits = at + n <= kBytes.size();
      ASSERT_EQ(reader.read_bytes(n, "x").ok(), fits);
      ASSERT_EQ(reader.position(), fits ? at + n : at);
    }
  }
  ByteReader reader(kBytes, "a.bin");
  EXPECT_TRUE(reader.skip(1, "x").ok());
  EXPECT_FALSE(reader.skip(UINT64_MAX, "x").ok());  // position + n would wrap round
  EXPECT_FALSE(reader.read_bytes(UINT64_MAX - 1, "x").ok());
  EXPECT_EQ(reader.position(), 1u);
}

TEST(ByteReader, AnEmptyInputHoldsNothing) {
  ByteReader reader({}, "a.bin");
  EXPECT_TRUE(reader.read_bytes(0, "x").ok());
  EXPECT_FALSE(reader.read<uint8_t>("x").ok());
}

TEST(ByteReader, ErrorsSayWhereAndWhatIsMissing) {
  ByteReader reader(kBytes, "a.bin");
  ASSERT_TRUE(reader.skip(13, "x").ok());
  const Result<uint32_t> cut = reader.read<uint32_t>("tensor count");
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, ErrorCode::damaged);
  EXPECT_EQ(cut.error().where, "a.bin: byte 13");
  EXPECT_EQ(cut.error().message, "file ends inside tensor count: 4 bytes needed, 3 left");
}

}  // namespace
}  // namespace phial
