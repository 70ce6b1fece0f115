// A bundle (support/mutate.h) of the three parts of a split GGUF model, and of bytes that tensors
// are made of. What the parts hold together, and those tensors, is laid out as one file: tensors
// lie aligned, in their order and apart, and the file is read back as it was meant.
#include <algorithm>

#include "formats/gguf_split.h"
#include "formats/gguf_writer.h"
#include "support/checks.h"
#include "support/mutate.h"
#include "tensor/numbers.h"

namespace {

using namespace phial;

constexpr size_t kParts = 3;
constexpr uint64_t kMostFileBytes = 1 << 20;  // that are written

constexpr const char* kWords[] = {"GGUF",
                                  "split.no",
                                  "split.count",
                                  "split.tensors.count",
                                  "general.alignment",
                                  "general.architecture",
                                  "token_embd.weight",
                                  "blk.0.attn_q.weight",
                                  "output_norm.weight"};

std::string part_path(size_t number) {
  return "m-0000" + std::to_string(number + 1) + "-of-00003.gguf";
}

// Where tensors come to lie, by the contract of gguf_layout().
void check_layout(const GgufLayout& layout) {
  fuzz::require(layout.offsets.size() == layout.tensors.size());
  uint64_t end = layout.header.size();
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    fuzz::require(layout.offsets[i] >= end);
    const uint64_t bytes = layout.tensors[i].bytes();
    fuzz::require(bytes > 0 && bytes <= layout.file_bytes);
    end = layout.offsets[i] + bytes;
  }
  fuzz::require(layout.file_bytes >= end);
}

// Writes numbers that count up and reads the file back.
void write_and_read(const std::vector<GgufPair>& pairs, GgufLayout layout) {
  if (layout.file_bytes > kMostFileBytes) return;
  const std::vector<GgufTensor> tensors = layout.tensors;
  const uint64_t file_bytes = layout.file_bytes;
  MemoryFiles files;
  auto writer = GgufWriter::create(files, "out.gguf", std::move(layout));
  fuzz::require(writer.ok());
  uint8_t next = 0;
  for (const GgufTensor& tensor : tensors) {
    std::vector<uint8_t> bytes(static_cast<size_t>(tensor.bytes()));
    for (uint8_t& byte : bytes) byte = next++;
    fuzz::require(writer->append(bytes).ok());
  }
  fuzz::require(writer->commit().ok());
  const auto file = files.map("out.gguf");
  fuzz::require(file.ok() && (*file)->bytes().size() == file_bytes);
  const auto back = parse_gguf((*file)->bytes(), "out.gguf", false);
  fuzz::require(back.ok());
  fuzz::require(back->metadata.entries().size() == pairs.size());
  fuzz::require(back->tensors.size() == tensors.size());
  next = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor& tensor = back->tensors[i];
    fuzz::require(tensor.name == tensors[i].name && tensor.view.grid == tensors[i].grid &&
                  tensor.view.shape == tensors[i].shape);
    for (const uint8_t byte : tensor.view.bytes) fuzz::require(byte == next++);
  }
}

void lay_out(const std::vector<GgufPair>& pairs, std::vector<GgufTensor> tensors) {
  auto layout = gguf_layout(pairs, std::move(tensors));
  if (!layout.ok()) return fuzz::check_error(layout.error());
  check_layout(*layout);
  write_and_read(pairs, std::move(*layout));
}

// Tensors of any name, grid and shape: grid, axes, length of the name, the name, the axes.
std::vector<GgufTensor> tensors_of(const std::string& bytes) {
  std::vector<GgufTensor> out;
  size_t at = 0;
  const auto take = [&](size_t count) {
    const std::string part = bytes.substr(std::min(at, bytes.size()), count);
    at += count;
    return part;
  };
  const auto byte = [&] {
    const std::string part = take(1);
    return part.empty() ? size_t{0} : static_cast<size_t>(static_cast<uint8_t>(part[0]));
  };
  while (at < bytes.size()) {
    GgufTensor& tensor = out.emplace_back();
    const auto grids = grid_table();
    tensor.grid = grids[byte() % grids.size()].grid;
    const size_t axes = byte() % 6;
    tensor.name = take(byte());
    for (size_t i = 0; i < axes; ++i) {
      std::string axis = take(sizeof(int64_t));
      axis.resize(sizeof(int64_t), '\0');
      tensor.shape.push_back(load_number<int64_t>(reinterpret_cast<const uint8_t*>(axis.data())));
    }
  }
  return out;
}

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  std::vector<std::string> files = fuzz::split_bundle(
      {reinterpret_cast<const uint8_t*>(input.data()), input.size()}, kParts + 1);
  if (choice.one_in(3)) {
    files[kParts] = fuzz::mutate_bytes(files[kParts], kWords, choice);
  } else {
    std::string& part = files[choice.below(kParts)];
    part = fuzz::mutate_gguf(part, kWords, choice);
  }
  return fuzz::join_bundle(files);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> parts = fuzz::split_bundle({data, size}, kParts + 1);
  MemoryFiles files;
  for (size_t i = 0; i < kParts; ++i) files.put(part_path(i), parts[i]);
  const std::vector<GgufTensor> made = tensors_of(parts[kParts]);
  lay_out({}, made);

  const auto file = files.map(part_path(0));
  auto contents = parse_gguf((*file)->bytes(), part_path(0), false);
  if (!contents.ok()) {
    fuzz::check_error(contents.error());
    return 0;
  }
  const auto mappings = append_gguf_parts(files, part_path(0), *contents);
  if (!mappings.ok()) {
    fuzz::check_error(mappings.error());
    return 0;
  }
  fuzz::touch(contents->tensors);
  std::vector<GgufTensor> tensors;
  for (const NamedTensor& tensor : contents->tensors) {
    tensors.push_back({tensor.name, tensor.view.grid, tensor.view.shape});
  }
  lay_out(gguf_pairs_of(contents->metadata), std::move(tensors));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
