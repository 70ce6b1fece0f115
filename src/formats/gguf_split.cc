#include "formats/gguf_split.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_set>

namespace phial {
namespace {

constexpr int64_t kMaxParts = 4096;
constexpr size_t kDigits = 5;

std::string five_digits(int64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(kDigits - std::min(digits.size(), kDigits), '0') + digits;
}

// "-00001-of-00003.gguf" for number 0 of 3.
std::string ending_of(int64_t number, int64_t count) {
  return "-" + five_digits(number + 1) + "-of-" + five_digits(count) + ".gguf";
}

struct Split {
  int64_t number = 0;
  int64_t count = 1;
  std::optional<int64_t> tensors;
};

Result<Split> split_of(const GgufMetadata& metadata) {
  Split split;
  PHIAL_ASSIGN(const auto count, metadata.integer("split.count"));
  PHIAL_ASSIGN(const auto number, metadata.integer("split.no"));
  PHIAL_ASSIGN(split.tensors, metadata.integer("split.tensors.count"));
  split.count = count.value_or(1);
  split.number = number.value_or(0);
  if (split.count < 0 || split.count > kMaxParts || split.number < 0 ||
      split.number >= std::max<int64_t>(split.count, 1)) {
    return damaged(metadata.file, "is part " + std::to_string(split.number) + " of " +
                                      std::to_string(split.count) +
                                      " (split.no, split.count); at most 4096 parts are read");
  }
  return split;
}

// What part `number` of the model is called whose first part is `first`.
std::string part_name(const std::string& first, int64_t number, int64_t count) {
  const size_t stem = first.size() - ending_of(0, count).size();
  return first.substr(0, stem) + ending_of(number, count);
}

Status check_first(const std::string& path, const Split& split) {
  const std::string name = file_name_of(path);
  const std::string own_ending = ending_of(split.number, split.count);
  if (!name.ends_with(own_ending)) {
    return damaged(path,
                   "is part " + std::to_string(split.number + 1) + " of " +
                       std::to_string(split.count) + " of a split model, but is not named so",
                   "parts are found by their names: give it the ending " + own_ending);
  }
  if (split.number != 0) {
    return unsupported(path, "is a later part of a split model",
                       "name the first: " + part_name(name, 0, split.count));
  }
  return {};
}

}  // namespace

bool is_later_gguf_part(std::string_view name) {
  // -NNNNN-of-NNNNN.gguf
  const size_t length = ending_of(0, 1).size();
  if (name.size() <= length) return false;
  const std::string_view ending = name.substr(name.size() - length);
  const auto digits = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  return ending.starts_with('-') && digits(ending.substr(1, kDigits)) &&
         ending.substr(1 + kDigits, 4) == "-of-" && digits(ending.substr(kDigits + 5, kDigits)) &&
         ending.ends_with(".gguf") && ending.substr(1, kDigits) != "00001";
}

Result<std::vector<std::shared_ptr<const MappedFile>>> append_gguf_parts(const Files& files,
                                                                         const std::string& path,
                                                                         GgufContents& contents) {
  std::vector<std::shared_ptr<const MappedFile>> mappings;
  PHIAL_ASSIGN(const Split split, split_of(contents.metadata));
  if (split.count <= 1) return mappings;
  PHIAL_TRY(check_first(path, split));
  for (int64_t number = 1; number < split.count; ++number) {
    const std::string part_path =
        join_path(folder_of(path), part_name(file_name_of(path), number, split.count));
    PHIAL_ASSIGN(std::shared_ptr<const MappedFile> file, files.map(part_path));
    PHIAL_ASSIGN(GgufContents part, parse_gguf(file->bytes(), part_path, false));
    PHIAL_ASSIGN(const Split own, split_of(part.metadata));
    if (own.number != number || own.count != split.count) {
      return damaged(part_path, "says that it is part " + std::to_string(own.number + 1) + " of " +
                                    std::to_string(own.count) + "; expected part " +
                                    std::to_string(number + 1) + " of " +
                                    std::to_string(split.count));
    }
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(contents.tensors));
    mappings.push_back(std::move(file));
  }
  std::unordered_set<std::string_view> names;
  for (const NamedTensor& tensor : contents.tensors) {
    if (!names.insert(tensor.name).second) {
      return damaged(join_path(folder_of(path), tensor.file),
                     "tensor \"" + tensor.name + "\" is in another part, too");
    }
  }
  if (split.tensors && *split.tensors != static_cast<int64_t>(contents.tensors.size())) {
    return damaged(path, "split.tensors.count announces " + std::to_string(*split.tensors) +
                             " tensors, but the parts hold " +
                             std::to_string(contents.tensors.size()));
  }
  return mappings;
}

}  // namespace phial
