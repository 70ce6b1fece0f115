// A key/value cache in parts that can be kept in a file: docs/session-format.md has them byte for
// byte.
#pragma once

#include "base/status.h"
#include "engine/decoder.h"
#include "engine/kv_cache.h"

namespace phial {

// Errors: those of `put`.
Status put_cache(const KvCache& cache, const PutPart& put);

// A cache that holds bit for bit what the one that was put did, with room for `context` positions.
// Memory is taken for no more than a page ahead of what the parts hold.
// Errors: those of `next`; damaged (parts that no cache of this layout makes), invalid_input (of
// another layout), context_full, out_of_memory.
Result<KvCache> take_cache(std::shared_ptr<const KvLayout> layout, int64_t context,
                           const NextPart& next);

}  // namespace phial
