// Any bytes as an importance matrix, in the form of a GGUF file or the older one.
#include "quantize/imatrix.h"

#include <cmath>

#include "formats/gguf.h"
#include "support/checks.h"
#include "support/mutate.h"

namespace {

using namespace phial;

constexpr const char* kWords[] = {"GGUF",
                                  "general.type",
                                  "imatrix",
                                  "imatrix.datasets",
                                  "imatrix.chunk_count",
                                  "imatrix.chunk_size",
                                  ".in_sum2",
                                  ".counts",
                                  "blk.0.attn_q.weight.in_sum2",
                                  "blk.0.attn_q.weight.counts",
                                  "blk.-1.attn_q.weight.in_sum2",
                                  "output.weight"};

void check(const Imatrix& imatrix) {
  fuzz::require(!imatrix.columns.empty());
  for (const auto& [name, columns] : imatrix.columns) {
    fuzz::require(imatrix.find(name) == &columns);
    for (const float mean : columns) fuzz::require(std::isfinite(mean) && mean >= 0);
  }
  for (const Role role : {Role::qkv, Role::q, Role::up, Role::gate_up, Role::lm_head}) {
    TargetTensor tensor;
    tensor.role = role;
    tensor.layer = 0;
    (void)importance_of(imatrix, tensor);
  }
}

std::string mutate(const std::string& input, fuzz::Choice& choice) {
  if (looks_like_gguf({reinterpret_cast<const uint8_t*>(input.data()), input.size()})) {
    return fuzz::mutate_gguf(input, kWords, choice);
  }
  // Numbers of the older form lie anywhere.
  if (input.size() >= 4 && choice.one_in(2)) {
    std::string out = input;
    const auto number = static_cast<uint32_t>(fuzz::interesting_integer(choice));
    store_number<uint32_t>(number, reinterpret_cast<uint8_t*>(&out[choice.below(out.size() - 3)]));
    return out;
  }
  return fuzz::mutate_bytes(input, kWords, choice);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryFiles files;
  files.put("imatrix", std::string(reinterpret_cast<const char*>(data), size));
  const auto read = read_imatrix(files, "imatrix");
  read.ok() ? check(**read) : fuzz::check_error(read.error());
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::mutate_in_place(data, size, max_size, seed, mutate);
}
