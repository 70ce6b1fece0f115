// A decoder that keeps within a memory budget: what does not fit is refused before it is begun.
#pragma once

#include <memory>

#include "engine/decoder.h"
#include "engine/numerics.h"
#include "engine/runtime.h"
#include "model/model_spec.h"

namespace phial {

// `decoder`, which computes `spec` with `numerics`, behind the budget of
// `runtime`; `decoder` itself when there is none. Sequences are charged for their whole context
// when they are opened, forks like any other; passes for their logits. Errors, besides those of
// `decoder`: over_limit with the figure that is needed and the context that would fit.
Result<std::shared_ptr<Decoder>> with_memory_budget(std::shared_ptr<Decoder> decoder,
                                                    std::shared_ptr<const Runtime> runtime,
                                                    const ModelSpec& spec,
                                                    const Numerics& numerics = {});

}  // namespace phial
