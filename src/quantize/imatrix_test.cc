#include "quantize/imatrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"
#include "formats/gguf_writer.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

using ::testing::ElementsAre;
using ::testing::Pointee;

void put_int(std::string& out, int32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string old_form(const std::string& name, int32_t calls, const std::vector<float>& sums) {
  std::string out;
  put_int(out, 1);
  put_int(out, static_cast<int32_t>(name.size()));
  out += name;
  put_int(out, calls);
  put_int(out, static_cast<int32_t>(sums.size()));
  out.append(reinterpret_cast<const char*>(sums.data()), 4 * sums.size());
  return out;
}

std::string new_form(const MemoryFiles& files, const std::vector<float>& sums,
                     const std::vector<float>& counts) {
  const auto bytes = [](const std::vector<float>& numbers) {
    return std::span(reinterpret_cast<const uint8_t*>(numbers.data()), 4 * numbers.size());
  };
  auto layout = gguf_layout(
      {{"general.type", std::string("imatrix")}},
      {{"blk.0.attn_q.weight.in_sum2", Grid::f32, {1, static_cast<int64_t>(sums.size())}},
       {"blk.0.attn_q.weight.counts", Grid::f32, {static_cast<int64_t>(counts.size()), 1}}});
  auto writer = GgufWriter::create(files, "made", std::move(*layout));
  EXPECT_TRUE(writer->append(bytes(sums)).ok() && writer->append(bytes(counts)).ok());
  EXPECT_TRUE(writer->commit().ok());
  return std::string(files.map("made").value()->text());
}

Result<std::shared_ptr<const Imatrix>> read(const std::string& bytes) {
  MemoryFiles files;
  files.put("imatrix", bytes);
  return read_imatrix(files, "imatrix");
}

TEST(Imatrix, OldFormHoldsSumsOverCalls) {
  const auto read_back = read(old_form("blk.0.attn_q.weight", 4, {2, 8, 0}) + "tail");
  ASSERT_TRUE(read_back.ok());
  EXPECT_THAT((*read_back)->find("blk.0.attn_q.weight"), Pointee(ElementsAre(0.5f, 2, 0)));
  EXPECT_EQ((*read_back)->find("blk.0.attn_k.weight"), nullptr);
}

TEST(Imatrix, NewFormHoldsSumsAndCounts) {
  MemoryFiles files;
  const auto read_back = read(new_form(files, {2, 8, 0, 1}, {4}));
  ASSERT_TRUE(read_back.ok()) << read_back.error().to_string();
  EXPECT_THAT((*read_back)->find("blk.0.attn_q.weight"), Pointee(ElementsAre(0.5f, 2, 0, 0.25f)));
  EXPECT_EQ(read(new_form(files, {2, 8}, {1, 2})).error().code, ErrorCode::unsupported);
  EXPECT_EQ(read(new_form(files, {-1, 8}, {1})).error().code, ErrorCode::damaged);
}

TEST(Imatrix, MatricesThatWereNeverUsedCountAsOnes) {
  EXPECT_THAT((*read(old_form("a", 0, {0, 0})))->find("a"), Pointee(ElementsAre(1, 1)));
}

TEST(Imatrix, FusedMatricesTakeTheirPartsColumns) {
  Imatrix imatrix;
  imatrix.columns["blk.3.attn_q.weight"] = {1};
  imatrix.columns["blk.3.ffn_up.weight"] = {2};
  TargetTensor tensor;
  tensor.layer = 3;
  tensor.role = Role::qkv;
  EXPECT_THAT(importance_of(imatrix, tensor), Pointee(ElementsAre(1)));
  tensor.role = Role::gate_up;
  EXPECT_THAT(importance_of(imatrix, tensor), Pointee(ElementsAre(2)));
  tensor.role = Role::down;
  EXPECT_EQ(importance_of(imatrix, tensor), nullptr);
}

TEST(Imatrix, HostileFilesAreErrors) {
  const std::string good = old_form("blk.0.attn_q.weight", 4, {2, 8, 1});
  for (size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_FALSE(read(good.substr(0, cut)).ok()) << cut;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(read(old_form("a", 1, {nan})).error().code, ErrorCode::damaged);
  EXPECT_EQ(read(old_form("a", -1, {1})).error().code, ErrorCode::damaged);
  Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    bad[rng.next() % bad.size()] = static_cast<char>(rng.next());
    static_cast<void>(read(bad).ok());
  }
}

}  // namespace
}  // namespace phial
