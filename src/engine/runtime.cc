#include "engine/runtime.h"

namespace phial {

Result<std::shared_ptr<const Runtime>> Runtime::create(int threads, const std::string& isa,
                                                       std::shared_ptr<const Files> files,
                                                       int64_t max_memory_bytes) {
  auto runtime = std::make_shared<Runtime>();
  PHIAL_ASSIGN(runtime->kernels, select_kernels(isa));
  PHIAL_ASSIGN(runtime->threads,
               ThreadPool::create(threads == 0 ? default_thread_count() : threads));
  runtime->files = std::move(files);
  if (max_memory_bytes > 0) runtime->memory = std::make_shared<MemoryBudget>(max_memory_bytes);
  return std::shared_ptr<const Runtime>(std::move(runtime));
}

}  // namespace phial
