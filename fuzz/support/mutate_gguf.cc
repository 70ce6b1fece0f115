#include <algorithm>
#include <array>
#include <optional>

#include "base/byte_reader.h"
#include "base/checked.h"
#include "formats/test_files.h"
#include "support/mutate.h"

namespace phial::fuzz {
namespace {

using Tensor = test::GgufBuilder::Tensor;

// Bytes of a value by its type; 0 for strings and arrays.
constexpr std::array<uint64_t, 13> kTypeBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr uint32_t kTypes = kTypeBytes.size();

// The elements are kept as their bytes in the file; a single value is one element.
struct Pair {
  std::string key;
  uint32_t type = 0;
  uint32_t element_type = 0;  // of arrays
  std::vector<std::string> elements;
  std::optional<uint64_t> announced;  // elements of an array, written instead of the true number

  std::string value() const {
    std::string bytes;
    for (const std::string& element : elements) bytes += element;
    if (type != test::kArray) return bytes;
    return test::le(element_type) + test::le(announced.value_or(elements.size())) + bytes;
  }
};

struct File {
  uint32_t version = 3;
  std::vector<Pair> pairs;
  std::vector<Tensor> tensors;
  uint64_t alignment = 32;
  std::optional<uint64_t> announced_tensors, announced_pairs;

  std::string bytes() const {
    test::GgufBuilder builder;
    builder.version = version;
    builder.alignment = alignment;
    builder.announced_tensors = announced_tensors;
    builder.announced_pairs = announced_pairs;
    builder.tensors = tensors;
    for (const Pair& pair : pairs) builder.pair(pair.key, pair.type, pair.value());
    return builder.build();
  }
};

// Reads what a mutant may still be whole enough for; nothing when it is not.
class Walker {
 public:
  explicit Walker(std::string_view input)
      : bytes_(reinterpret_cast<const uint8_t*>(input.data()), input.size()), in_(bytes_, "") {}

  std::optional<File> file() {
    if (!walk().ok()) return std::nullopt;
    return std::move(out_);
  }

 private:
  static constexpr uint64_t kMaxItems = 100'000;

  Error give_up() const { return in_.damage(""); }

  Status walk() {
    PHIAL_TRY(in_.skip(4, ""));
    PHIAL_ASSIGN(out_.version, in_.read<uint32_t>(""));
    PHIAL_ASSIGN(const uint64_t tensors, in_.read<uint64_t>(""));
    PHIAL_ASSIGN(const uint64_t pairs, in_.read<uint64_t>(""));
    if (tensors > kMaxItems || pairs > kMaxItems) return give_up();
    for (uint64_t i = 0; i < pairs; ++i) PHIAL_TRY(read_pair());
    for (uint64_t i = 0; i < tensors; ++i) PHIAL_TRY(read_tensor());
    read_data();
    return {};
  }

  Result<std::string> text() {
    PHIAL_ASSIGN(const uint64_t length, in_.read<uint64_t>(""));
    PHIAL_ASSIGN(const auto bytes, in_.read_bytes(length, ""));
    return std::string(bytes.begin(), bytes.end());
  }

  Result<std::string> element(uint32_t type) {
    if (type == test::kString) {
      PHIAL_ASSIGN(const std::string string, text());
      return test::gguf_string(string);
    }
    PHIAL_ASSIGN(const auto bytes, in_.read_bytes(kTypeBytes[type], ""));
    return std::string(bytes.begin(), bytes.end());
  }

  Status read_pair() {
    Pair pair;
    PHIAL_ASSIGN(pair.key, text());
    PHIAL_ASSIGN(pair.type, in_.read<uint32_t>(""));
    if (pair.type >= kTypes) return give_up();
    uint64_t count = 1;
    pair.element_type = pair.type;
    if (pair.type == test::kArray) {
      PHIAL_ASSIGN(pair.element_type, in_.read<uint32_t>(""));
      PHIAL_ASSIGN(count, in_.read<uint64_t>(""));
      if (pair.element_type >= kTypes || pair.element_type == test::kArray || count > kMaxItems) {
        return give_up();
      }
    }
    for (uint64_t i = 0; i < count; ++i) {
      PHIAL_ASSIGN(std::string bytes, element(pair.element_type));
      pair.elements.push_back(std::move(bytes));
    }
    if (pair.key == "general.alignment" && pair.type == test::kU32) {
      const auto value = static_cast<uint8_t>(pair.elements[0][0]);
      if (value != 0) out_.alignment = value;
    }
    out_.pairs.push_back(std::move(pair));
    return {};
  }

  Status read_tensor() {
    Tensor tensor;
    PHIAL_ASSIGN(tensor.name, text());
    PHIAL_ASSIGN(const uint32_t dims, in_.read<uint32_t>(""));
    if (dims > 16) return give_up();
    for (uint32_t d = 0; d < dims; ++d) {
      PHIAL_ASSIGN(const uint64_t dim, in_.read<uint64_t>(""));
      tensor.dims.push_back(dim);
    }
    PHIAL_ASSIGN(tensor.type, in_.read<uint32_t>(""));
    PHIAL_ASSIGN(const uint64_t offset, in_.read<uint64_t>(""));
    offsets_.push_back(offset);
    out_.tensors.push_back(std::move(tensor));
    return {};
  }

  // Each tensor's data reaches to where the next one's begins.
  void read_data() {
    const uint64_t begin = *checked_round_up(in_.position(), out_.alignment);
    const uint64_t bytes = bytes_.size() > begin ? bytes_.size() - begin : 0;
    for (size_t i = 0; i < offsets_.size(); ++i) {
      const uint64_t from = std::min(offsets_[i], bytes);
      const uint64_t to = i + 1 < offsets_.size() ? std::min(offsets_[i + 1], bytes) : bytes;
      if (from >= to) continue;
      const auto data = bytes_.subspan(begin + from, to - from);
      out_.tensors[i].data.assign(data.begin(), data.end());
    }
  }

  const std::span<const uint8_t> bytes_;
  ByteReader in_;
  File out_;
  std::vector<uint64_t> offsets_;
};

class FileMutator {
 public:
  FileMutator(File& file, Words words, Choice& choice)
      : file_(file), words_(words), choice_(choice) {}

  void mutate() {
    switch (choice_.below(8)) {
      case 0:
        return header();
      case 1:
      case 2:
        return list_of_pairs();
      case 3:
      case 4:
        if (!file_.pairs.empty()) pair(choice_.of(file_.pairs));
        return;
      case 5:
        return list_of_tensors();
      default:
        if (!file_.tensors.empty()) tensor(choice_.of(file_.tensors));
    }
  }

 private:
  std::string word() { return words_.empty() ? "x" : choice_.of(words_); }

  void header() {
    switch (choice_.below(4)) {
      case 0:
        file_.version = static_cast<uint32_t>(interesting_integer(choice_));
        return;
      case 1:
        file_.announced_tensors = interesting_integer(choice_);
        return;
      case 2:
        file_.announced_pairs = interesting_integer(choice_);
        return;
      default:
        alignment();
    }
  }

  void alignment() {
    const auto value = static_cast<uint32_t>(interesting_integer(choice_));
    Pair pair{"general.alignment", test::kU32, test::kU32, {test::le(value)}, {}};
    std::erase_if(file_.pairs, [](const Pair& p) { return p.key == "general.alignment"; });
    file_.pairs.push_back(std::move(pair));
    if (value > 0 && value <= 4096) file_.alignment = value;
  }

  template <class T>
  void rearrange(std::vector<T>& items) {
    const auto at = static_cast<ptrdiff_t>(choice_.below(items.size()));
    switch (choice_.below(3)) {
      case 0:
        items.erase(items.begin() + at);
        return;
      case 1:
        items.push_back(T(items[static_cast<size_t>(at)]));
        return;
      default:
        std::swap(items[static_cast<size_t>(at)], choice_.of(items));
    }
  }

  void list_of_pairs() {
    if (!file_.pairs.empty() && choice_.one_in(2)) return rearrange(file_.pairs);
    Pair added;
    added.key = word();
    set_value(added);
    file_.pairs.push_back(std::move(added));
  }

  std::string random_element(uint32_t type) {
    if (type == test::kString || type == test::kArray) {
      return test::gguf_string(choice_.one_in(2) ? word() : std::string(choice_.below(40), 'a'));
    }
    const uint64_t value = interesting_integer(choice_);
    return test::le(value).substr(0, kTypeBytes[type]);
  }

  // A new value of a random type.
  void set_value(Pair& pair) {
    pair.type = static_cast<uint32_t>(choice_.below(kTypes));
    pair.element_type = pair.type;
    size_t count = 1;
    if (pair.type == test::kArray) {
      pair.element_type = static_cast<uint32_t>(choice_.below(kTypes));
      count = choice_.below(20);
    }
    pair.elements.clear();
    for (size_t i = 0; i < count; ++i) pair.elements.push_back(random_element(pair.element_type));
  }

  void pair(Pair& pair) {
    switch (choice_.below(6)) {
      case 0:
        pair.key = choice_.one_in(2) ? word() : mutate_bytes(pair.key, words_, choice_);
        return;
      case 1:
        return set_value(pair);
      case 2:  // the same bytes under another type
        pair.type = static_cast<uint32_t>(choice_.one_in(4) ? interesting_integer(choice_)
                                                            : choice_.below(kTypes));
        return;
      case 3:
        pair.element_type = static_cast<uint32_t>(choice_.below(kTypes + 2));
        return;
      case 4:
        if (pair.type == test::kArray) pair.announced = interesting_integer(choice_);
        return;
      default:
        elements(pair);
    }
  }

  void elements(Pair& pair) {
    if (pair.elements.empty()) return;
    if (pair.type == test::kArray && choice_.one_in(2)) {
      if (choice_.one_in(3)) return pair.elements.resize(choice_.below(pair.elements.size()));
      return rearrange(pair.elements);
    }
    std::string& element = choice_.of(pair.elements);
    if (pair.element_type != test::kString) {
      element = random_element(std::min(pair.element_type, kTypes - 1));
    } else if (choice_.one_in(8)) {  // a length that is not true
      element.replace(0, 8, test::le(interesting_integer(choice_)));
    } else {
      element = test::gguf_string(
          mutate_bytes(element.substr(std::min<size_t>(8, element.size())), words_, choice_));
    }
  }

  void list_of_tensors() {
    if (!file_.tensors.empty() && !choice_.one_in(4)) return rearrange(file_.tensors);
    Tensor added;
    added.name = word();
    added.dims = {32, 1 + choice_.below(3)};
    added.type = static_cast<uint32_t>(choice_.below(43));
    added.data.resize(choice_.below(600));
    file_.tensors.push_back(std::move(added));
  }

  void tensor(Tensor& tensor) {
    switch (choice_.below(7)) {
      case 0:
        tensor.name = choice_.one_in(2) ? word() : mutate_bytes(tensor.name, words_, choice_);
        return;
      case 1:
        tensor.type = static_cast<uint32_t>(choice_.one_in(4) ? interesting_integer(choice_)
                                                              : choice_.below(43));
        return;
      case 2:
        if (!tensor.dims.empty()) choice_.of(tensor.dims) = interesting_integer(choice_);
        return;
      case 3:
        tensor.dims.resize(choice_.below(6), 1);
        return;
      case 4:
        tensor.offset = interesting_integer(choice_);
        return;
      case 5:
        tensor.data.resize(choice_.below(tensor.data.size() + 64));
        return;
      default:
        tensor.data = mutate_bytes(tensor.data, {}, choice_);
    }
  }

  File& file_;
  const Words words_;
  Choice& choice_;
};

}  // namespace

std::string mutate_gguf(const std::string& input, Words words, Choice& choice) {
  std::optional<File> file = Walker(input).file();
  if (!file || choice.one_in(16)) return mutate_bytes(input, words, choice);
  for (size_t rounds = 1 + choice.below(3); rounds > 0; --rounds) {
    FileMutator(*file, words, choice).mutate();
  }
  return file->bytes();
}

}  // namespace phial::fuzz
