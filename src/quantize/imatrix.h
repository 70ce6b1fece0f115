// Importance matrices: how much each input column of each matrix matters, as llama.cpp's imatrix
// program measures it - the mean square of what the column was multiplied with on some text. Both
// of its files are read: GGUF (general.type "imatrix": NAME.in_sum2 and NAME.counts per tensor) and
// the older binary form (entries of name, calls, count and sums).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/target.h"
#include "sys/files.h"

namespace phial {

struct Imatrix {
  // By llama.cpp's name of the matrix ("blk.0.attn_q.weight"): the mean square of each column.
  std::map<std::string, std::vector<float>, std::less<>> columns;

  // Null when there is none.
  const std::vector<float>* find(std::string_view name) const;
};

// The columns of `tensor`, whatever its format calls it; of a fused matrix those of a part. Null
// when there are none.
const std::vector<float>* importance_of(const Imatrix& imatrix, const TargetTensor& tensor);

// Errors: those of Files::map; unsupported (neither of the two kinds, several matrices in one
// entry); damaged (cut short, negative or not finite numbers, counts of nothing).
Result<std::shared_ptr<const Imatrix>> read_imatrix(const Files& files, const std::string& path);

}  // namespace phial
