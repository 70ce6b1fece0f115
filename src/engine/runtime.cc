#include "engine/runtime.h"

namespace phial {

Result<std::shared_ptr<const Runtime>> Runtime::create(int threads, const std::string& isa,
                                                       std::shared_ptr<const Files> files) {
  auto runtime = std::make_shared<Runtime>();
  PHIAL_ASSIGN(runtime->kernels, select_kernels(isa));
  PHIAL_ASSIGN(runtime->threads,
               ThreadPool::create(threads == 0 ? default_thread_count() : threads));
  runtime->files = std::move(files);
  return std::shared_ptr<const Runtime>(std::move(runtime));
}

}  // namespace phial
