// A bundle (support/mutate.h) of a model.safetensors.index.json and its shards s1 and s2, read as a
// folder. No name in the index may lead out of that folder.
#include "formats/checkpoint.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "support/words.h"

namespace {

using namespace phial;

constexpr size_t kFiles = 3;

// Files that see what is opened.
class Watched final : public Files {
 public:
  MemoryFiles memory;

  FileKind kind(const std::string& path) const override { return memory.kind(path); }
  Result<std::shared_ptr<const MappedFile>> map(const std::string& path) const override {
    fuzz::require(path.starts_with("m/") && ("/" + path + "/").find("/../") == std::string::npos);
    return memory.map(path);
  }
  Result<std::vector<std::string>> list(const std::string& folder) const override {
    return memory.list(folder);
  }
  Result<std::unique_ptr<FileWriter>> create(const std::string& path) const override {
    return memory.create(path);
  }
  Result<std::unique_ptr<FolderWriter>> create_folder(const std::string& path) const override {
    return memory.create_folder(path);
  }
  Status remove_leftovers(const std::string& path) const override {
    return memory.remove_leftovers(path);
  }
  Result<std::string> canonical(const std::string& path) const override {
    return memory.canonical(path);
  }
};

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files =
      fuzz::split_bundle({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kFiles);
  if (choice.one_in(3)) {
    std::string& shard = files[1 + choice.below(kFiles - 1)];
    shard = fuzz::mutate_safetensors(shard, fuzz::kSafetensorsWords, choice);
  } else {
    files[0] = fuzz::mutate_json(files[0], fuzz::kSafetensorsWords, choice);
  }
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> parts = fuzz::split_bundle({data, size}, kFiles);
  Watched files;
  files.memory.put("m/model.safetensors.index.json", std::move(parts[0]));
  files.memory.put("m/s1", std::move(parts[1]));
  files.memory.put("m/s2", std::move(parts[2]));
  files.memory.put("secret", "");
  const auto checkpoint = read_checkpoint(files, "m");
  checkpoint.ok() ? fuzz::touch(checkpoint->tensors) : fuzz::check_error(checkpoint.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
