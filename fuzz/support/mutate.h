// Structure-aware mutation for the fuzz targets: a mutant of a file is mostly whole, and wrong in
// one or a few fields, so that it gets past the first checks. The same mutators serve libFuzzer
// and the deterministic run of the tests (fuzz/support/standalone.cc), which differ only in who
// provides LLVMFuzzerMutate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace phial::fuzz {

// Words of a format that random bytes would rarely make: keys, names of types, kinds.
using Words = std::span<const char* const>;

// Random choices, the same for the same seed.
class Choice {
 public:
  explicit Choice(uint64_t seed) : rng_(seed) {}
  // In [0, n). REQUIRES: n > 0
  size_t below(size_t n) { return static_cast<size_t>(rng_.next() % n); }
  bool one_in(size_t n) { return below(n) == 0; }
  uint64_t bits() { return rng_.next(); }
  template <class Container>
  auto& of(Container& items) {
    return items[below(std::size(items))];
  }

 private:
  Rng rng_;
};

// A number at which sizes and signs go wrong: 0, 1, powers of two and their neighbours.
uint64_t interesting_integer(Choice& choice);

// Bytes changed, inserted, removed; a word of the format put in.
std::string mutate_bytes(std::string input, Words words, Choice& choice);
// One to three nodes of the JSON tree changed; bytes when the input is no JSON.
std::string mutate_json(const std::string& input, Words words, Choice& choice);
// The header's tree, its length, or the data.
std::string mutate_safetensors(const std::string& input, Words words, Choice& choice);
// Pairs, tensor entries, counts, offsets; bytes when the input cannot be walked through.
std::string mutate_gguf(const std::string& input, Words words, Choice& choice);
// Fields of a protobuf message and of the messages inside; bytes when it is none.
std::string mutate_protobuf(const std::string& input, Words words, Choice& choice);
std::string mutate_npy(const std::string& input, Choice& choice);

// Several files in one input: each is a u32 of its length, then its bytes; what is missing at the
// end is empty.
std::vector<std::string> split_bundle(std::span<const uint8_t> input, size_t files);
std::string join_bundle(std::span<const std::string> files);

// Body of LLVMFuzzerCustomMutator: puts the mutant in place of the input; returns its length.
size_t mutate_in_place(uint8_t* data, size_t size, size_t max_size, unsigned seed,
                       const std::function<std::string(const std::string&, Choice&)>& mutate);

}  // namespace phial::fuzz
