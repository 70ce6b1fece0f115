// What computation needs besides the model: threads and kernels. One per context; no globals.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "kernels/kernels.h"
#include "sys/files.h"
#include "sys/memory_budget.h"
#include "sys/thread_pool.h"

namespace phial {

struct Runtime {
  std::shared_ptr<const Files> files;
  std::unique_ptr<ThreadPool> threads;
  const KernelTable* kernels = nullptr;
  // What computing may take (engine/memory_need.h says what counts); null: whatever there is.
  std::shared_ptr<MemoryBudget> memory;

  // `threads` 0: one per physical core. `isa` empty: the best of this machine. `max_memory_bytes`
  // 0: no budget. usage or unavailable as ThreadPool::create and select_kernels say.
  static Result<std::shared_ptr<const Runtime>> create(int threads, const std::string& isa,
                                                       std::shared_ptr<const Files> files,
                                                       int64_t max_memory_bytes = 0);
};

}  // namespace phial
