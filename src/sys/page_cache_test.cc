#include "sys/page_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace phial {
namespace {

TEST(PageCache, TellsWhatStaysInMemory) {
  std::string folder = (std::filesystem::temp_directory_path() / "phial_cache_XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/file";
  std::ofstream(path) << std::string(1 << 20, 'x');
  EXPECT_LE(drop_from_page_cache(path), 1.0);  // what is left depends on the file system
  std::ofstream(folder + "/empty").close();
  EXPECT_EQ(drop_from_page_cache(folder + "/empty"), 0.0);
  // What cannot be dropped counts as there.
  EXPECT_EQ(drop_from_page_cache(folder), 1.0);
  EXPECT_EQ(drop_from_page_cache(folder + "/nowhere"), 1.0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace phial
