// The native decoder: a Plan run by the CPU executor over refcounted KV pages.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/decoder.h"
#include "engine/runtime.h"
#include "model/model.h"

namespace phial {

// Errors: out_of_memory.
Result<std::shared_ptr<Decoder>> make_native_decoder(std::shared_ptr<const Runtime> runtime,
                                                     std::shared_ptr<const Model> model);

}  // namespace phial
