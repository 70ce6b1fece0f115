#include <algorithm>
#include <cstring>

#include "support/mutate.h"

// Provided by libFuzzer, or by standalone.cc.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace phial::fuzz {

uint64_t interesting_integer(Choice& choice) {
  switch (choice.below(4)) {
    case 0:
      return choice.below(9);
    case 1:
      return uint64_t{0} - choice.below(9);
    case 2:
      return (uint64_t{1} << choice.below(64)) + choice.below(3) - 1;
    default:
      return choice.bits() >> choice.below(64);
  }
}

std::string mutate_bytes(std::string input, Words words, Choice& choice) {
  if (!words.empty() && choice.one_in(4)) {
    const std::string_view word = choice.of(words);
    const size_t at = choice.below(input.size() + 1);
    if (choice.one_in(2)) return input.insert(at, word);
    return input.replace(at, std::min(word.size(), input.size() - at), word);
  }
  constexpr size_t kGrowth = 64;
  const size_t size = input.size();
  input.resize(size + kGrowth);
  input.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(input.data()), size, input.size()));
  return input;
}

std::string mutate_npy(const std::string& input, Choice& choice) {
  static constexpr const char* kWords[] = {"'descr': '<f4'",
                                           "'descr': '>f8'",
                                           "'descr': '|O'",
                                           "'fortran_order': True",
                                           "'fortran_order': False",
                                           "'shape': (3, 4), ",
                                           "'shape': (0,)",
                                           "'shape': ()",
                                           "18446744073709551615",
                                           "4294967297",
                                           "-1",
                                           ", "};
  constexpr size_t kPrefix = 10;  // of version 1: magic, version, u16 length
  uint16_t length = 0;
  if (input.size() >= kPrefix) std::memcpy(&length, input.data() + 8, sizeof(length));
  if (input.size() < kPrefix + length || choice.one_in(8)) {
    return mutate_bytes(input, kWords, choice);
  }
  std::string header = mutate_bytes(input.substr(kPrefix, length), kWords, choice);
  std::string data = input.substr(kPrefix + length);
  if (choice.one_in(4)) data.resize(choice.below(data.size() + 9));
  std::string out = input.substr(0, kPrefix);
  if (choice.one_in(8)) out[6] = static_cast<char>(choice.below(5));
  length = static_cast<uint16_t>(choice.one_in(8) ? interesting_integer(choice) : header.size());
  std::memcpy(out.data() + 8, &length, sizeof(length));
  return out + header + data;
}

std::vector<std::string> split_bundle(std::span<const uint8_t> input, size_t files) {
  std::vector<std::string> out(files);
  for (std::string& file : out) {
    uint32_t length = 0;
    if (input.size() < sizeof(length)) break;
    std::memcpy(&length, input.data(), sizeof(length));
    input = input.subspan(sizeof(length));
    const size_t taken = std::min<size_t>(length, input.size());
    file.assign(input.begin(), input.begin() + static_cast<ptrdiff_t>(taken));
    input = input.subspan(taken);
  }
  return out;
}

std::string join_bundle(std::span<const std::string> files) {
  std::string out;
  for (const std::string& file : files) {
    const auto length = static_cast<uint32_t>(file.size());
    out.append(reinterpret_cast<const char*>(&length), sizeof(length));
    out += file;
  }
  return out;
}

size_t mutate_in_place(uint8_t* data, size_t size, size_t max_size, unsigned seed,
                       const std::function<std::string(const std::string&, Choice&)>& mutate) {
  Choice choice(seed);
  std::string mutant = mutate({reinterpret_cast<const char*>(data), size}, choice);
  mutant.resize(std::min(mutant.size(), max_size));
  std::copy(mutant.begin(), mutant.end(), data);
  return mutant.size();
}

}  // namespace phial::fuzz
