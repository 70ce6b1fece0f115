// Runs a fuzz target without libFuzzer:
//
//   mutants_NAME --count N FILE_OR_FOLDER...
//
// every file given (seeds and the inputs that once failed) as it is, then N mutants of them, the
// same ones every time. What ends the program leaves its input in mutants-failure.bin.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" [[gnu::weak]] size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                                        unsigned seed);

namespace {

constexpr size_t kMaxBytes = 64 << 10;
constexpr double kMaxSeconds = 5;  // for one input; the slowest takes milliseconds
constexpr const char* kFailure = "mutants-failure.bin";

phial::fuzz::Choice& choice() {
  static phial::fuzz::Choice stream(20240131);
  return stream;
}

// The input that runs, for the signal handler.
std::vector<uint8_t>& current() {
  static std::vector<uint8_t> input;
  return input;
}

// Only calls that a signal handler may make.
void keep_input(int signal) {
  const int fd = ::open(kFailure, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd >= 0) {
    const std::vector<uint8_t>& input = current();
    if (::write(fd, input.data(), input.size()) >= 0) ::close(fd);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

double run() {
  const auto begin = std::chrono::steady_clock::now();
  (void)LLVMFuzzerTestOneInput(current().data(), current().size());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void mutate(std::vector<uint8_t>& input) {
  const size_t size = input.size();
  input.resize(kMaxBytes);
  const auto seed = static_cast<unsigned>(choice().bits());
  input.resize(
      LLVMFuzzerCustomMutator != nullptr
          ? LLVMFuzzerCustomMutator(input.data(), size, kMaxBytes, seed)
          : phial::fuzz::mutate_in_place(input.data(), size, kMaxBytes, seed,
                                         [](const std::string& text, phial::fuzz::Choice& random) {
                                           return phial::fuzz::mutate_bytes(text, {}, random);
                                         }));
}

std::vector<std::vector<uint8_t>> read_seeds(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::vector<fs::path> names;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      names.emplace_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) names.push_back(entry.path());
  }
  std::sort(names.begin(), names.end());
  std::vector<std::vector<uint8_t>> seeds;
  for (const fs::path& name : names) {
    std::ifstream in(name, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return seeds;
}

}  // namespace

// libFuzzer's byte mutations, the simplest of them.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  phial::fuzz::Choice& random = choice();
  const size_t at = random.below(size + 1);
  switch (random.below(6)) {
    case 0:  // cut
      return at;
    case 1: {  // remove a piece
      const size_t piece = std::min(random.below(9), size - at);
      std::copy(data + at + piece, data + size, data + at);
      return size - piece;
    }
    case 2: {  // insert a piece
      const size_t piece = std::min(random.below(9), max_size - size);
      std::copy_backward(data + at, data + size, data + size + piece);
      for (size_t i = 0; i < piece; ++i) data[at + i] = static_cast<uint8_t>(random.bits());
      return size + piece;
    }
    case 3: {  // a number of 1 to 8 bytes
      const uint64_t value = phial::fuzz::interesting_integer(random);
      const size_t width = std::min(size - at, size_t{1} << random.below(4));
      for (size_t i = 0; i < width; ++i) data[at + i] = static_cast<uint8_t>(value >> (8 * i));
      return size;
    }
    default:  // a byte
      if (at < size) data[at] ^= static_cast<uint8_t>(1 + random.below(255));
      return size;
  }
}

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (arguments.size() < 3 || arguments[0] != "--count") {
    std::fprintf(stderr, "usage: mutants_NAME --count N FILE_OR_FOLDER...\n");
    return 2;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal, keep_input);
  }
  const long count = std::strtol(arguments[1].c_str(), nullptr, 10);
  const auto seeds = read_seeds({arguments.begin() + 2, arguments.end()});
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds\n");
    return 2;
  }
  double slowest = 0;
  for (const auto& seed : seeds) {
    current() = seed;
    slowest = std::max(slowest, run());
  }
  for (long i = 0; i < count; ++i) {
    current() = choice().of(seeds);
    for (size_t rounds = 1 + choice().below(3); rounds > 0; --rounds) mutate(current());
    slowest = std::max(slowest, run());
    if (slowest > kMaxSeconds) keep_input(SIGABRT);
  }
  std::printf("%zu seeds and %ld mutants, the slowest took %.3f s\n", seeds.size(), count, slowest);
  return 0;
}
