// How much each input column of each matrix matters, estimated from the weights alone: no text, no
// token, no run of the model. For quantizing without an importance matrix.
//
// Second moments go through the model as if all values of a vector were independent: those of the
// embedding's columns enter the residual stream; a norm divides by their mean and multiplies by its
// squared weights; a matrix multiplies by its squared entries; attention passes on the values'; an
// activation has a closed form for normal inputs. What a layer writes adds to the stream.
//
// Real activations are not independent: the few channels of trained models that are hundreds of
// times larger than the rest are written by many terms of one sign, which a sum of squares knows
// too little of. So a norm sees the squares of the stream's moments. That finds those channels,
// which are what matters most: docs/quantization.md has what it gives.
#pragma once

#include "base/cancel.h"
#include "base/status.h"
#include "model/model.h"
#include "quantize/imatrix.h"
#include "sys/thread_pool.h"

namespace phial {

// An estimate may be wrong: to every number the median of its matrix is added, so that no column is
// given up.
//
// For every matrix inside the layers and for the head, tied or not; an embedding that is no head
// has no entry. Numbers are finite and > 0, their mean in each matrix is 1; weights that are not
// finite count as 0. Reads every matrix once; depends on the weights alone, not on threads.
// Errors: cancelled.
Result<Imatrix> estimate_importance(const Model& model, ThreadPool& threads,
                                    const CancelFlag* cancel);

}  // namespace phial
