#include "sys/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace phial {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result.ok() ? ErrorCode::internal : result.error().code;
}

// A folder of its own for each test.
class DiskFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "phial-files-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(std::string_view name) const { return join_path(folder_, name); }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(at(name), std::ios::binary) << text;
  }
  std::string content(std::string_view name) const {
    std::ifstream in(at(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> names() const { return files_->list(folder_).value(); }

  std::string folder_;
  const std::shared_ptr<const Files> files_ = disk_files();
};

TEST_F(DiskFiles, MapsRegularFilesAlsoThroughLinks) {
  write("a", "hello");
  write("empty", "");
  fs::create_symlink("a", at("link"));
  for (const char* name : {"a", "link"}) {
    const auto file = files_->map(at(name));
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    EXPECT_EQ((*file)->text(), "hello");
    EXPECT_EQ(files_->kind(at(name)), FileKind::regular);
  }
  EXPECT_TRUE(files_->map(at("empty")).value()->bytes().empty());
}

TEST_F(DiskFiles, AMappingOutlivesTheName) {
  write("a", "hello");
  const auto file = files_->map(at("a")).value();
  fs::remove(at("a"));
  EXPECT_EQ(file->text(), "hello");
}

TEST_F(DiskFiles, NeverBlocksOnPipesAndRefusesDevicesSocketsAndFolders) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", at("link-to-pipe"));
  fs::create_directory(at("folder"));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ASSERT_LT(at("socket").size(), sizeof(address.sun_path));
  at("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  for (const std::string& path : {at("pipe"), at("link-to-pipe"), at("socket"), at("folder"),
                                  std::string("/dev/null"), std::string("/dev/zero")}) {
    const auto file = files_->map(path);
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_EQ(file.error().code, ErrorCode::unsupported) << file.error().to_string();
    EXPECT_EQ(file.error().where, path);
    EXPECT_NE(files_->kind(path), FileKind::regular);
  }
  EXPECT_EQ(files_->kind(at("pipe")), FileKind::other);
  EXPECT_EQ(files_->kind(at("folder")), FileKind::folder);
  ::close(socket);
}

TEST_F(DiskFiles, NamesWhatIsMissingOrCannotBeOpened) {
  write("file", "x");
  fs::create_symlink("nowhere", at("dangling"));
  fs::create_symlink("loop", at("loop"));
  for (const char* name : {"absent", "absent/x", "file/x", "dangling"}) {
    const auto file = files_->map(at(name));
    EXPECT_EQ(code_of(file), ErrorCode::not_found) << name;
    EXPECT_EQ(file.error().where, at(name));
    EXPECT_EQ(files_->kind(at(name)), FileKind::none);
  }
  EXPECT_EQ(code_of(files_->map("")), ErrorCode::not_found);
  EXPECT_EQ(code_of(files_->map(at("loop"))), ErrorCode::io_error);
  EXPECT_EQ(code_of(files_->map(at(std::string(300, 'n')))), ErrorCode::io_error);
  // Not the file before the zero byte.
  const std::string cut = at("file") + std::string("\0.gguf", 6);
  EXPECT_EQ(code_of(files_->map(cut)), ErrorCode::not_found);
  EXPECT_EQ(files_->kind(cut), FileKind::none);
  EXPECT_EQ(code_of(files_->canonical(cut)), ErrorCode::not_found);
}

TEST_F(DiskFiles, ListsSortedNames) {
  write("b", "");
  write("a", "");
  write(".hidden", "");
  fs::create_directory(at("c"));
  EXPECT_THAT(names(), ElementsAre(".hidden", "a", "b", "c"));
  EXPECT_EQ(code_of(files_->list(at("a"))), ErrorCode::unsupported);
  EXPECT_EQ(code_of(files_->list(at("absent"))), ErrorCode::not_found);
}

TEST_F(DiskFiles, CanonicalIsOneNamePerFile) {
  fs::create_directory(at("sub"));
  write("sub/a", "");
  fs::create_symlink("sub", at("link"));
  fs::create_symlink("../sub/a", at("sub/b"));
  const std::string expected = files_->canonical(at("sub/a")).value();
  for (const char* name : {"link/a", "link/b", "sub/../sub/./a", "sub//b"}) {
    EXPECT_EQ(files_->canonical(at(name)).value(), expected) << name;
  }
  EXPECT_EQ(code_of(files_->canonical(at("absent"))), ErrorCode::not_found);
}

TEST_F(DiskFiles, DestinationsLieBehindLinks) {
  fs::create_directory(at("sub"));
  write("sub/a", "");
  fs::create_symlink("sub", at("link"));
  fs::create_symlink("new", at("sub/dangling"));
  fs::create_symlink("link/dangling", at("twice"));
  fs::create_symlink(at("link/a"), at("absolute"));
  fs::create_symlink("loop", at("loop"));
  const auto leads_to = [this](const char* from, const char* to) {
    return fs::weakly_canonical(files_->destination(at(from)).value()) ==
           fs::weakly_canonical(at(to));
  };
  EXPECT_TRUE(leads_to("link/a", "sub/a"));
  EXPECT_TRUE(leads_to("absolute", "sub/a"));
  EXPECT_TRUE(leads_to("sub/dangling", "sub/new"));
  EXPECT_TRUE(leads_to("link/dangling/", "sub/new"));
  EXPECT_TRUE(leads_to("twice", "sub/new"));
  EXPECT_TRUE(leads_to("absent", "absent"));
  EXPECT_EQ(files_->destination("absent/").value(), "absent/");
  EXPECT_EQ(code_of(files_->destination(at("loop"))), ErrorCode::io_error);
}

TEST_F(DiskFiles, AWrittenFileAppearsOnlyWhenCommitted) {
  write("out", "old");
  auto writer = files_->create(at("out")).value();
  ASSERT_TRUE(writer->append(as_bytes("new ")).ok());
  ASSERT_TRUE(writer->append(as_bytes("text")).ok());
  EXPECT_EQ(content("out"), "old");
  EXPECT_EQ(names().size(), 2u) << "the temporary file lies in the same folder";
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(content("out"), "new text");
  EXPECT_THAT(names(), ElementsAre("out"));
  EXPECT_FALSE(writer->commit().ok());
  EXPECT_FALSE(writer->append(as_bytes("x")).ok());
}

TEST_F(DiskFiles, ADroppedWriterLeavesNothing) {
  {
    auto writer = files_->create(at("out")).value();
    ASSERT_TRUE(writer->append(as_bytes("half")).ok());
  }
  EXPECT_TRUE(names().empty());
}

TEST_F(DiskFiles, AFolderAppearsWholeWhenCommitted) {
  auto folder = files_->create_folder(at("out")).value();
  auto file = files_->create(join_path(folder->path(), "a")).value();
  ASSERT_TRUE(file->append(as_bytes("text")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_FALSE(fs::exists(at("out")));
  ASSERT_TRUE(folder->commit().ok());
  EXPECT_EQ(content("out/a"), "text");
  EXPECT_THAT(names(), ElementsAre("out"));
  EXPECT_FALSE(folder->commit().ok());
  EXPECT_EQ(files_->create_folder(at("out")).error().code, ErrorCode::io_error) << "not empty";
  fs::create_directory(at("empty"));
  ASSERT_TRUE(files_->create_folder(at("empty/")).value()->commit().ok());
  write("file", "text");
  EXPECT_EQ(files_->create_folder(at("file")).error().code, ErrorCode::io_error);
}

TEST_F(DiskFiles, ADroppedFolderLeavesNothing) {
  {
    auto folder = files_->create_folder(at("out")).value();
    fs::create_directory(folder->path() + "/sub");
    std::ofstream(folder->path() + "/sub/file") << "text";
    write("kept", "text");
    fs::create_symlink("../kept", folder->path() + "/link");
  }
  EXPECT_THAT(names(), ElementsAre("kept")) << "and follows no link";
}

TEST_F(DiskFiles, LeftoversOfTheDeadAreRemovedAndNothingElse) {
  auto living = files_->create(at("out")).value();
  auto living_folder = files_->create_folder(at("out")).value();
  write(".out.1-0.part", "half");
  fs::create_directory(at("out.partial-1-0"));
  write("out.partial-1-0/file", "half");
  const std::vector<std::string> kept = {
      ".out.1-0.par",           ".out.x.part",     ".out.part",
      "out.partial-",           "out.partial-x",   "out.partial",
      "other.partial-1-0",      ".other.1-0.part", "out.partial-1",
      "out.partial-2024-01-01", ".out.1.part",     ".out.1-.part",
      "out.partial-2-0"};
  for (const std::string& name : kept) write(name, "kept");
  fs::create_directory(at(".out.2-0.part"));  // as "out.partial-2-0" of the wrong kind
  ASSERT_TRUE(files_->remove_leftovers(at("out")).ok());
  std::vector<std::string> expected = kept;
  expected.push_back(".out.2-0.part");
  expected.push_back(file_name_of(living_folder->path()));
  expected.push_back(".out." + std::to_string(::getpid()) + "-0.part");
  EXPECT_THAT(names(), ::testing::UnorderedElementsAreArray(expected));
  EXPECT_TRUE(living->commit().ok());
}

TEST_F(DiskFiles, ReleasedPagesAreReadAgain) {
  const std::string text(100'000, 'x');
  write("file", text);
  const auto file = files_->map(at("file")).value();
  file->release(file->bytes().subspan(1, 90'000));
  file->release(file->bytes().subspan(5, 10));
  EXPECT_EQ(file->text(), text);
}

TEST_F(DiskFiles, TwoWritersOfOneNameDoNotMix) {
  auto first = files_->create(at("out")).value();
  auto second = files_->create(at("out")).value();
  ASSERT_TRUE(first->append(as_bytes("first")).ok());
  ASSERT_TRUE(second->append(as_bytes("second")).ok());
  ASSERT_TRUE(first->commit().ok());
  EXPECT_EQ(content("out"), "first");
  ASSERT_TRUE(second->commit().ok());
  EXPECT_EQ(content("out"), "second");
  EXPECT_THAT(names(), ElementsAre("out"));
}

TEST_F(DiskFiles, WritesThroughNoLink) {
  write("victim", "precious");
  // A link that waits under the first temporary name.
  const std::string temporary = ".out." + std::to_string(::getpid()) + "-0.part";
  fs::create_symlink("victim", at(temporary));
  // And one under the final name.
  fs::create_symlink("victim", at("out"));
  auto writer = files_->create(at("out")).value();
  ASSERT_TRUE(writer->append(as_bytes("new")).ok());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(content("victim"), "precious");
  EXPECT_EQ(content("out"), "new");
  EXPECT_FALSE(fs::is_symlink(at("out")));
}

TEST_F(DiskFiles, RefusesTargetsThatAreNoFiles) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  fs::create_directory(at("folder"));
  fs::create_symlink("pipe", at("link"));
  for (const std::string& path : {at("pipe"), at("folder"), at("link"), std::string("/dev/null")}) {
    const auto writer = files_->create(path);
    ASSERT_FALSE(writer.ok()) << path;
    EXPECT_EQ(writer.error().code, ErrorCode::io_error);
    EXPECT_EQ(writer.error().where, path);
  }
  for (const std::string& path :
       {std::string(), at("folder/"), at("absent/out"), at("new/"), at(std::string("a\0b", 3))}) {
    EXPECT_EQ(code_of(files_->create(path)), ErrorCode::io_error) << path;
  }
  // What came to stand there meanwhile is not replaced either.
  auto writer = files_->create(at("late")).value();
  ASSERT_EQ(::mkfifo(at("late").c_str(), 0600), 0);
  EXPECT_FALSE(writer->commit().ok());
  writer.reset();
  EXPECT_THAT(names(), ElementsAre("folder", "late", "link", "pipe"));
}

// The limit on file sizes stands for a full disk: write() fails in the same way.
TEST_F(DiskFiles, AFullDiskIsAnErrorThatNamesThePath) {
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto writer = files_->create(at("out")).value();
  const Status status = writer->append(as_bytes(std::string(10000, 'x')));
  const Status commit = writer->commit();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::io_error);
  EXPECT_EQ(status.error().where, at("out"));
  EXPECT_FALSE(commit.ok()) << "nothing partial is ever committed";
  EXPECT_TRUE(names().empty());
}

TEST_F(DiskFiles, ReadTextHasALimit) {
  write("t", "12345");
  EXPECT_EQ(read_text(*files_, at("t"), 5).value(), "12345");
  EXPECT_EQ(code_of(read_text(*files_, at("t"), 4)), ErrorCode::over_limit);
  EXPECT_EQ(code_of(read_text(*files_, at("u"), 4)), ErrorCode::not_found);
}

TEST(MemoryFiles, BehavesLikeADisk) {
  MemoryFiles files;
  files.put("m/a", "hello");
  files.put("m/sub/b", "");
  files.put("/abs/c", "x");
  EXPECT_EQ(files.map("./m//a").value()->text(), "hello");
  EXPECT_TRUE(files.map("m/sub/../sub/b").value()->bytes().empty());
  EXPECT_EQ(files.kind("m"), FileKind::folder);
  EXPECT_EQ(files.kind("."), FileKind::folder);
  EXPECT_EQ(files.kind("/"), FileKind::folder);
  EXPECT_EQ(files.kind("m/a"), FileKind::regular);
  EXPECT_EQ(files.kind("m/"), FileKind::folder);
  EXPECT_EQ(files.kind("abs"), FileKind::none) << "relative and absolute paths do not meet";
  EXPECT_EQ(files.kind(""), FileKind::none);
  EXPECT_THAT(files.list("m").value(), ElementsAre("a", "sub"));
  EXPECT_THAT(files.list(".").value(), ElementsAre("m"));
  EXPECT_THAT(files.list("/").value(), ElementsAre("abs"));
  EXPECT_EQ(code_of(files.map("m")), ErrorCode::unsupported);
  EXPECT_EQ(code_of(files.map("m/x")), ErrorCode::not_found);
  EXPECT_EQ(code_of(files.list("m/a")), ErrorCode::unsupported);
  EXPECT_EQ(code_of(files.list("x")), ErrorCode::not_found);
  EXPECT_EQ(files.canonical("m/./a").value(), "m/a");
  EXPECT_EQ(code_of(files.canonical("x")), ErrorCode::not_found);
}

TEST(MemoryFiles, WritesWhenCommitted) {
  MemoryFiles files;
  files.put("m/a", "old");
  auto writer = files.create("m/a").value();
  ASSERT_TRUE(writer->append(as_bytes("new")).ok());
  const auto before = files.map("m/a").value();
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(before->text(), "old") << "a mapping keeps what it mapped";
  EXPECT_EQ(files.map("m/a").value()->text(), "new");
  EXPECT_FALSE(writer->commit().ok());
  { auto dropped = files.create("m/b").value(); }
  EXPECT_EQ(files.kind("m/b"), FileKind::none);
  EXPECT_EQ(code_of(files.create("m")), ErrorCode::io_error);
  EXPECT_EQ(code_of(files.create("m/")), ErrorCode::io_error);
}

TEST(MemoryFiles, FoldersAppearWholeWhenCommitted) {
  MemoryFiles files;
  {
    auto dropped = files.create_folder("out").value();
    ASSERT_TRUE(files.create(join_path(dropped->path(), "a")).value()->commit().ok());
  }
  EXPECT_EQ(files.kind("out.partial-0"), FileKind::none);
  auto folder = files.create_folder("out").value();
  auto file = files.create(join_path(folder->path(), "a")).value();
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(files.kind("out"), FileKind::none);
  ASSERT_TRUE(folder->commit().ok());
  EXPECT_EQ(files.kind("out/a"), FileKind::regular);
  EXPECT_EQ(files.kind(folder->path()), FileKind::none);
  EXPECT_FALSE(files.create_folder("out").ok());
  EXPECT_FALSE(folder->commit().ok());
}

TEST(Paths, WhatWritersCallWhatIsNotWholeYet) {
  for (const char* left : {"a/out.partial-77-0", "out.partial-0-0/", "a/.out.gguf.77-0.part"}) {
    EXPECT_TRUE(is_unfinished(left)) << left;
  }
  for (const char* name :
       {"out.partial-", "out.partial-x", ".partial-1-0", "out.partial-1", "out.partial-2024-01-01",
        ".out.gguf.part", "1.part", "out.gguf.77-0.part", "a.partial-1/model.gguf"}) {
    EXPECT_FALSE(is_unfinished(name)) << name;
  }
}

TEST(Paths, JoinAndSplit) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(folder_of("a/b/c"), "a/b");
  EXPECT_EQ(folder_of("a/b/"), "a");
  EXPECT_EQ(folder_of("b"), ".");
  EXPECT_EQ(folder_of("/b"), "/");
  EXPECT_EQ(folder_of("/"), "/");
  EXPECT_EQ(file_name_of("a/b"), "b");
  EXPECT_EQ(file_name_of("a/b/"), "b");
  EXPECT_EQ(file_name_of("b"), "b");
}

TEST(ResolveSidecar, TakesPlainNames) {
  for (const char* name : {"model-00001-of-00002.safetensors", "sub/x.bin", "a/b/c", ".hidden",
                           "..data", "a..b", "...x", "~", "%2e%2e", "a b", "caf\u00e9.bin", "-"}) {
    const auto path = resolve_sidecar("models/m", name, "index.json");
    ASSERT_TRUE(path.ok()) << name << ": " << path.error().to_string();
    EXPECT_EQ(*path, std::string("models/m/") + name);
  }
  EXPECT_TRUE(resolve_sidecar("m", std::string(255, 'n'), "index.json").ok());
}

TEST(ResolveSidecar, RefusesHostileNames) {
  const std::vector<std::string> hostile = {
      "",
      ".",
      "..",
      "/",
      "//",
      "/etc/passwd",
      "//server/share",
      "../x",
      "../../x",
      "a/..",
      "a/../x",
      "a/../../x",
      "./x",
      "a/./x",
      "a/.",
      "a//x",
      "a/",
      "x/",
      "../",
      "..\\x",
      "\\x",
      "a\\x",
      "a\\..\\x",
      "\\\\server\\share\\x",
      "\\\\?\\C:\\x",
      "\\\\.\\pipe\\x",
      "C:x",
      "C:\\x",
      "C:/x",
      "c:",
      "file:x",
      "file:///etc/passwd",
      "https://host/x",
      "x::$DATA",
      "#../",
      "sub/#../../x",
      "...",
      ".. ",
      ".. /x",
      "../ ",
      "x.",
      "x ",
      "a./x",
      "a /x",
      " ",
      std::string("x\0y", 3),
      std::string("\0", 1),
      std::string("x.safetensors\0/../../y", 22),
      "x\ny",
      "x\ty",
      "x\x1b[2Jy",
      "x\x7fy",
      "x\u0085y",
      "\xc0\xae\xc0\xae/x",  // ".." in overlong UTF-8
      "a\xc0\xafx",          // "/" in overlong UTF-8
      "\xe0\x80\xae./x",
      "\xed\xa0\x80",  // a surrogate
      "\xff\xfe",
      "x\xc3",  // cut in a character
      std::string(256, 'n'),
      std::string(100000, 'n'),
      "/proc/self/mem",
      "/dev/zero",
      "*/_ORT_MEM_ADDR_/*/..",
  };
  ASSERT_GE(hostile.size(), 60u);
  for (const std::string& name : hostile) {
    const auto path = resolve_sidecar("models/m", name, "index.json: weight_map");
    ASSERT_FALSE(path.ok()) << '"' << name << "\" gave " << *path;
    EXPECT_EQ(path.error().code, ErrorCode::damaged);
    EXPECT_EQ(path.error().where, "index.json: weight_map");
    EXPECT_LE(path.error().to_string().size(), kMaxErrorText);
  }
}

}  // namespace
}  // namespace phial
