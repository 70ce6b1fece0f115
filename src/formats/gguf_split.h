// GGUF models in several files, as llama-gguf-split writes them: NAME-00001-of-00003.gguf ... Each
// part is a GGUF file of its own with tensors and data; the keys of the model are in the first.
//
//   split.no              number of the part, from 0
//   split.count           how many parts there are
//   split.tensors.count   tensors of all parts together
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"
#include "sys/files.h"

namespace phial {

// Whether `name` ends like the second or a later part of a split model.
bool is_later_gguf_part(std::string_view name);

// Where `contents`, read from `path`, is the first part of a split model: appends the tensors of
// the other parts, which lie beside it, and returns their mappings, which own the views. Nothing to
// do for other files. Errors: not_found (a part is missing); damaged (parts of different models, a
// tensor twice, another number of tensors than announced); unsupported (not the first part; errors
// of parse_gguf).
Result<std::vector<std::shared_ptr<const MappedFile>>> append_gguf_parts(const Files& files,
                                                                         const std::string& path,
                                                                         GgufContents& contents);

}  // namespace phial
