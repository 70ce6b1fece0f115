// Memory that runs out at any moment: at every allocation of loading, tokenizing, rendering and
// generating, once or from there on. The C interface answers out_of_memory (or does without), leaks
// nothing, and works again afterwards.
//
// Counted and failed are all forms of operator new, the pages of keys and values (calloc), and the
// mapping of files (mmap): the last two through the linker's --wrap.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>

#include "src/capi/test_help.h"

namespace {

enum class Failing { once, from_then_on };

struct Memory {
  // Allocations of this thread that still succeed; negative: all of them.
  int64_t left = -1;
  Failing failing = Failing::once;
  int64_t failed = 0;
  int64_t asked = 0;
};
thread_local Memory memory;
// Blocks of operator new and calloc that are held, by all threads.
std::atomic<int64_t> live_blocks{0};

bool must_fail() {
  ++memory.asked;
  if (memory.left < 0) return false;
  if (memory.left > 0) {
    --memory.left;
    return false;
  }
  ++memory.failed;
  if (memory.failing == Failing::once) memory.left = -1;
  return true;
}

void release(void* block) {
  if (block != nullptr) --live_blocks;
  std::free(block);
}

}  // namespace

// Every form is replaced: a library may allocate with one form and free with another. Not inlined,
// or gcc takes the free() in delete for a mismatch with the new it sees.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (must_fail()) return nullptr;
  ++live_blocks;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(size_t size) {
  if (void* block = operator new(size, std::nothrow)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
[[gnu::noinline]] void operator delete(void* block) noexcept { release(block); }
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept { release(block); }
[[gnu::noinline]] void operator delete[](void* block) noexcept { release(block); }
[[gnu::noinline]] void operator delete[](void* block, size_t) noexcept { release(block); }
[[gnu::noinline]] void operator delete(void* block, const std::nothrow_t&) noexcept {
  release(block);
}
[[gnu::noinline]] void operator delete[](void* block, const std::nothrow_t&) noexcept {
  release(block);
}

extern "C" {
void* __real_calloc(size_t count, size_t size);
void* __real_mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset);

// The library gives these blocks back with free(), so they are not counted as held.
void* __wrap_calloc(size_t count, size_t size) {
  return must_fail() ? nullptr : __real_calloc(count, size);
}
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) {
  if (must_fail()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return __real_mmap(address, size, protection, flags, fd, offset);
}
}

namespace phial::capi {
namespace {

struct Sweep {
  int64_t points = 0;  // allocations that failed, one run each
  int64_t refused = 0;
  int64_t did_without = 0;
};

// Sanitizers make each run ten times as slow: there, ever larger steps.
int64_t next_point(int64_t granted) {
#ifdef PHIAL_THIN_SWEEPS
  return granted + 1 + granted / 16;
#else
  return granted + 1;
#endif
}

// Runs `call` with a failure at the first, second ... allocation, until it needs fewer than are
// granted. What libraries set up once in a process is out of scope: simdjson chooses its
// instruction set in a function that may not throw.
void sweep(const char* what, Failing failing, const std::function<phial_error*()>& call) {
  must_succeed(call());
  must_succeed(call());
  Sweep done;
  for (int64_t granted = 0;; granted = next_point(granted)) {
    const int64_t held = live_blocks;
    memory = {.left = granted, .failing = failing};
    phial_error* error = call();
    const bool reached = memory.failed > 0;
    memory = {};
    const std::string code = code_of(error);
    // A decoder keeps buffers for its next call: what a whole call leaves is what counts.
    if (live_blocks != held) must_succeed(call());
    ASSERT_EQ(live_blocks, held) << what << ": allocation " << granted << " leaks";
    if (!reached) {
      EXPECT_EQ(code, "ok") << granted;
      break;
    }
    ASSERT_TRUE(code == "out_of_memory" || code == "ok") << what << " " << granted << ": " << code;
    ++done.points;
    ++(code == "ok" ? done.did_without : done.refused);
  }
  must_succeed(call());
  EXPECT_GT(done.points, 0) << "the call allocates";
  std::printf("    %s, %s: %ld allocations failed, %ld errors, %ld did without\n", what,
              failing == Failing::once ? "once" : "from then on", static_cast<long>(done.points),
              static_cast<long>(done.refused), static_cast<long>(done.did_without));
}

void sweep(const char* what, const std::function<phial_error*()>& call) {
  sweep(what, Failing::once, call);
  if (!testing::Test::HasFatalFailure()) sweep(what, Failing::from_then_on, call);
}

class Allocation : public testing::Test {
 protected:
  static ContextPtr with_threads(int32_t threads, uint64_t max_memory = 0) {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.max_memory = max_memory;
    phial_context* context = nullptr;
    must_succeed(phial_context_create(&options, &context));
    return ContextPtr(context);
  }

  ContextPtr context_ = with_threads(1);
};

TEST_F(Allocation, Context) {
  sweep("context", [] {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    options.max_memory = 1 << 30;
    phial_context* context = nullptr;
    phial_error* error = phial_context_create(&options, &context);
    phial_context_free(context);
    return error;
  });
}

TEST_F(Allocation, Reports) {
  sweep("doctor", [this] {
    phial_buffer* json = nullptr;
    phial_error* error = phial_doctor_json(context_.get(), &json);
    phial_buffer_free(json);
    return error;
  });
  const ModelPtr model = load_golden_model(context_, "llama-smol", PHIAL_LOAD_INFO);
  sweep("info", [&model] {
    phial_buffer* json = nullptr;
    phial_error* error = phial_model_info_json(model.get(), 1, &json);
    phial_buffer_free(json);
    return error;
  });
}

TEST_F(Allocation, Load) {
  for (const char* name : {"llama-smol", "llama-tiny-sharded", "phi3-plain-f16.gguf"}) {
    const std::string path = golden_path(name);
    sweep(name, [this, &path] {
      phial_model* model = nullptr;
      phial_error* error = phial_model_load(context_.get(), path.c_str(), nullptr, &model);
      phial_model_free(model);
      return error;
    });
  }
}

// What is made when it is first asked for must not remember that there was no memory once.
TEST_F(Allocation, AModelIsWholeAfterwards) {
  const std::string path = golden_path("llama-smol");
  const auto tokenize = [](phial_model* model) {
    phial_buffer* ids = nullptr;
    phial_error* error = phial_tokenize(model, "hello", 5, 1, &ids);
    phial_buffer_free(ids);
    return error;
  };
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  options.load = PHIAL_LOAD_TEXT;
  int64_t points = 0;
  for (int64_t granted = 0;; granted = next_point(granted)) {
    phial_model* model = nullptr;
    must_succeed(phial_model_load(context_.get(), path.c_str(), &options, &model));
    const ModelPtr owner(model);
    memory = {.left = granted};
    phial_error* error = tokenize(model);
    const bool reached = memory.failed > 0;
    memory = {};
    const std::string code = code_of(error);
    ASSERT_TRUE(code == "ok" || code == "out_of_memory") << granted << ": " << code;
    ASSERT_EQ(code_of(tokenize(model)), "ok") << granted;
    if (!reached) break;
    ++points;
  }
  std::printf("    tokenizing first: %ld allocations failed, all models whole afterwards\n",
              static_cast<long>(points));
  for (int64_t granted = 0;; granted = next_point(granted)) {
    phial_model* model = nullptr;
    memory = {.left = granted};
    phial_error* error = phial_model_load(context_.get(), path.c_str(), nullptr, &model);
    const bool reached = memory.failed > 0;
    memory = {};
    const ModelPtr owner(model);
    if (code_of(error) == "ok") {
      ASSERT_EQ(code_of(tokenize(model)), "ok") << granted;
    }
    if (!reached) break;
  }
}

TEST_F(Allocation, Text) {
  const ModelPtr model = load_golden_model(context_, "llama-smol");
  sweep("tokenize", [&model] {
    phial_buffer* ids = nullptr;
    phial_error* error = phial_tokenize(model.get(), "The capital of France?", 22, 1, &ids);
    phial_buffer_free(ids);
    return error;
  });
  const std::vector<int32_t> ids = {20, 30, 40};
  sweep("detokenize", [&model, &ids] {
    phial_buffer* text = nullptr;
    phial_error* error = phial_detokenize(model.get(), ids.data(), ids.size(), 0, &text);
    phial_buffer_free(text);
    return error;
  });
  sweep("template", [&model] {
    const std::string_view messages = R"([{"role":"user","content":"Hi"}])";
    phial_buffer* prompt = nullptr;
    phial_error* error =
        phial_template_render(model.get(), messages.data(), messages.size(), nullptr, &prompt);
    phial_buffer_free(prompt);
    return error;
  });
}

void sweep_generation(const char* what, const ModelPtr& model) {
  const std::vector<int32_t> prompt(70, 7);  // more than a page of keys and values
  sweep(what, [&] {
    phial_sequence *sequence = nullptr, *fork = nullptr;
    phial_buffer* ids = nullptr;
    phial_error* error = phial_sequence_create(model.get(), nullptr, &sequence);
    if (error == nullptr) error = phial_sequence_append(sequence, prompt.data(), prompt.size());
    phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = 4;
    options.ignore_eos = 1;
    if (error == nullptr) error = phial_generate(sequence, &options, &ids, nullptr, nullptr);
    if (error == nullptr) error = phial_sequence_fork(sequence, &fork);
    if (error == nullptr) error = phial_sequence_append(fork, prompt.data(), 1);
    if (error == nullptr) error = phial_sequence_compute_logits(fork, PHIAL_LOGITS_ALL);
    phial_buffer_free(ids);
    phial_sequence_free(sequence);
    phial_sequence_free(fork);
    return error;
  });
}

TEST_F(Allocation, Generation) {
  sweep_generation("generate", load_golden_model(context_, "llama-smol"));
}

// As many threads as cores are bound to them for each job.
TEST_F(Allocation, GenerationOnAllCores) {
  const ContextPtr context = with_threads(0);
  sweep_generation("generate on all cores", load_golden_model(context, "llama-smol"));
}

TEST_F(Allocation, GenerationWithinABudget) {
  const ContextPtr context = with_threads(1, uint64_t{1} << 30);
  sweep_generation("generate with a budget", load_golden_model(context, "llama-smol"));
}

TEST_F(Allocation, Beams) {
  const ModelPtr model = load_golden_model(context_, "llama-smol");
  const std::vector<int32_t> prompt(20, 7);
  sweep("beams", [&] {
    phial_sequence* sequence = nullptr;
    phial_outputs* outputs = nullptr;
    phial_error* error = phial_sequence_create(model.get(), nullptr, &sequence);
    if (error == nullptr) error = phial_sequence_append(sequence, prompt.data(), prompt.size());
    const phial_text stop = {"never seen", 10};
    const phial_ids word = {prompt.data(), 2};
    phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = 3;
    options.num_beams = 2;
    options.repetition_penalty = 1.1f;
    options.logprobs = 1;
    options.stop_strings = &stop;
    options.stop_string_count = 1;
    options.bad_words = &word;
    options.bad_word_count = 1;
    if (error == nullptr) {
      const phial_generate_options* const given = &options;
      phial_error* own = nullptr;
      error = phial_generate_batch(&sequence, &given, 1, &outputs, &own);
      if (error == nullptr) error = own;
    }
    phial_outputs_free(outputs);
    phial_sequence_free(sequence);
    return error;
  });
}

}  // namespace
}  // namespace phial::capi
