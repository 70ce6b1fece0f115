#include "quantize/imatrix.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <unordered_map>

#include "base/byte_reader.h"
#include "base/checked.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "model/target.h"

namespace phial {
namespace {

Error bad_numbers(const std::string& path, std::string_view name) {
  return damaged(path + ": " + printable(name), "holds numbers that are negative or not finite");
}

Status put(const std::string& path, std::string_view name, std::vector<float> means, Imatrix& out) {
  for (const float mean : means) {
    if (!std::isfinite(mean) || mean < 0) return bad_numbers(path, name);
  }
  if (!out.columns.emplace(name, std::move(means)).second) {
    return damaged(path + ": " + printable(name), "is there twice");
  }
  return {};
}

// Mean squares; a matrix that was never used (an expert without tokens) counts as all the same.
std::vector<float> means_of(std::span<const float> sums, double count) {
  std::vector<float> means(sums.size(), 1.0f);
  if (count > 0) {
    for (size_t i = 0; i < sums.size(); ++i) {
      means[i] = static_cast<float>(static_cast<double>(sums[i]) / count);
    }
  }
  return means;
}

// NAME.in_sum2 [1, columns] and NAME.counts [1, 1], both float32.
Status read_gguf_form(const std::string& path, const GgufContents& contents, Imatrix& out) {
  constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
  std::unordered_map<std::string_view, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : contents.tensors) by_name.emplace(tensor.name, &tensor);
  for (const NamedTensor& tensor : contents.tensors) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const auto found = by_name.find(name + std::string(kCounts));
    if (found == by_name.end()) return damaged(path + ": " + name, "has sums without counts");
    const NamedTensor* const counts = found->second;
    if (tensor.view.grid != Grid::f32 || counts->view.grid != Grid::f32) {
      return damaged(path + ": " + name, "expected numbers in F32");
    }
    if (counts->view.elements() != 1) {
      return unsupported(path + ": " + name, "holds several matrices (experts)");
    }
    std::vector<float> sums(static_cast<size_t>(tensor.view.elements()));
    decode_row(Grid::f32, tensor.view.bytes.data(), tensor.view.elements(), sums.data());
    const float count = load_number<float>(counts->view.bytes.data());
    if (!std::isfinite(count) || count < 0) return bad_numbers(path, name);
    PHIAL_TRY(put(path, name, means_of(sums, static_cast<double>(count)), out));
  }
  return {};
}

// i32 entries; each: i32 length and bytes of the name, i32 calls, i32 count, count f32 sums of mean
// squares, one for each call. What follows the entries (the text's name) is not looked at.
class OldForm {
 public:
  OldForm(std::string path, std::span<const uint8_t> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  Status read(Imatrix& out) {
    PHIAL_ASSIGN(const int32_t entries, number());
    if (entries < 1 || entries > kMaxEntries) return broken("a count of entries that cannot be");
    for (int32_t i = 0; i < entries; ++i) PHIAL_TRY(read_entry(out));
    return {};
  }

 private:
  static constexpr int32_t kMaxEntries = 1 << 20;
  static constexpr int32_t kMaxName = 1 << 10;

  Error broken(const char* what) const {
    return damaged(
        path_, fmt::format("is no importance matrix that phial knows: {} at byte {}", what, at_));
  }

  Result<std::span<const uint8_t>> take(uint64_t count) {
    if (!range_fits(at_, count, bytes_.size())) return broken("the file ends");
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }
  Result<int32_t> number() {
    PHIAL_ASSIGN(const auto bytes, take(4));
    return load_number<int32_t>(bytes.data());
  }

  Status read_entry(Imatrix& out) {
    PHIAL_ASSIGN(const int32_t name_bytes, number());
    if (name_bytes < 1 || name_bytes > kMaxName) return broken("a name that cannot be");
    PHIAL_ASSIGN(const auto name, take(static_cast<uint64_t>(name_bytes)));
    const std::string text(name.begin(), name.end());
    PHIAL_ASSIGN(const int32_t calls, number());
    PHIAL_ASSIGN(const int32_t count, number());
    if (count < 1 || calls < 0) return broken("a count that cannot be");
    PHIAL_ASSIGN(const auto numbers, take(4 * static_cast<uint64_t>(count)));
    std::vector<float> sums(static_cast<size_t>(count));
    decode_row(Grid::f32, numbers.data(), count, sums.data());
    return put(path_, text, means_of(sums, calls), out);
  }

  const std::string path_;
  const std::span<const uint8_t> bytes_;
  uint64_t at_ = 0;
};

}  // namespace

const std::vector<float>* Imatrix::find(std::string_view name) const {
  const auto found = columns.find(name);
  return found == columns.end() ? nullptr : &found->second;
}

const std::vector<float>* importance_of(const Imatrix& imatrix, const TargetTensor& tensor) {
  // A fused matrix and its parts have the same input.
  const auto by_role = [&](Role role) {
    return imatrix.find(gguf_role_name(role, tensor.layer, ".weight"));
  };
  if (const auto* own = by_role(tensor.role)) return own;
  switch (tensor.role) {
    case Role::q:
    case Role::k:
    case Role::v:
      return by_role(Role::qkv);
    case Role::qkv:
      return by_role(Role::q);
    case Role::gate:
    case Role::up:
      return by_role(Role::gate_up);
    case Role::gate_up:
      return by_role(Role::up);
    default:
      return nullptr;
  }
}

Result<std::shared_ptr<const Imatrix>> read_imatrix(const Files& files, const std::string& path) {
  PHIAL_ASSIGN(const std::shared_ptr<const MappedFile> file, files.map(path));
  auto out = std::make_shared<Imatrix>();
  if (looks_like_gguf(file->bytes())) {
    PHIAL_ASSIGN(const GgufContents contents, parse_gguf(file->bytes(), path, false));
    PHIAL_TRY(read_gguf_form(path, contents, *out));
  } else {
    PHIAL_TRY(OldForm(path, file->bytes()).read(*out));
  }
  if (out->columns.empty()) {
    return unsupported(path, "holds no importance matrix",
                       "llama.cpp's imatrix program makes them");
  }
  return std::shared_ptr<const Imatrix>(std::move(out));
}

}  // namespace phial
