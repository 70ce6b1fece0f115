// Matrices of packed files (model/phial_target.h), taken over where they lie.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/phial_target.h"
#include "tensor/view.h"

namespace phial {

// Whether a packed file says what `tensor` holds.
bool is_described(const NamedTensor& tensor);
// Whether `checkpoint` is a packed file: some tensor is described.
bool is_packed_file(const Checkpoint& checkpoint);

// What the description says, checked against the tensor that it is of. Errors as
// parse_description(), and damaged for a tensor of another kind or shape than is described.
// REQUIRES: is_described(tensor)
Result<PhialMatrix> phial_matrix(const NamedTensor& tensor);

// A view of it. damaged when it is not of `rows` x `columns`.
Result<MatrixView> bind_phial_weight(const NamedTensor& tensor, int64_t rows, int64_t columns);

// damaged, naming tensor and row, when a value is NaN or infinite.
Status check_finite_phial_weight(const NamedTensor& tensor);

}  // namespace phial
