// Memory that runs out at any moment: the C interface answers out_of_memory (or does without),
// leaks nothing (the address sanitizer looks) and works again afterwards.
#include <cstdlib>
#include <functional>
#include <new>

#include "capi/test_help.h"

namespace {

// Allocations of this thread that still succeed; negative: all of them.
thread_local int64_t allocations_left = -1;

}  // namespace

// Every form is replaced: a library may allocate with one form and free with another. Not inlined,
// or gcc takes the free() in delete for a mismatch with the new it sees.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (allocations_left == 0) {
    allocations_left = -1;  // one failure; what cleans up after it may allocate
    return nullptr;
  }
  if (allocations_left > 0) --allocations_left;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace phial::capi {
namespace {

// Runs `call` with a failure at the first, second ... allocation, at every one at first and at ever
// larger distances later, until it needs fewer than are granted.
void fail_everywhere(const std::function<phial_error*()>& call) {
  // What libraries set up once in a process is out of scope: simdjson chooses its instruction set
  // in a function that may not throw.
  must_succeed(call());
  for (int64_t granted = 0;; granted += 1 + granted / 16) {
    allocations_left = granted;
    phial_error* error = call();
    const bool reached = allocations_left == -1;
    allocations_left = -1;
    const std::string code = code_of(error);
    if (!reached) {
      EXPECT_EQ(code, "ok") << granted;
      EXPECT_GT(granted, 0) << "the call allocates";
      return;
    }
    ASSERT_TRUE(code == "out_of_memory" || code == "ok") << granted << ": " << code;
  }
}

class Allocation : public testing::Test {
 protected:
  static ContextPtr single_thread() {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    phial_context* context = nullptr;
    must_succeed(phial_context_create(&options, &context));
    return ContextPtr(context);
  }

  ContextPtr context_ = single_thread();
};

TEST_F(Allocation, Context) {
  fail_everywhere([] {
    phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    phial_context* context = nullptr;
    phial_error* error = phial_context_create(&options, &context);
    phial_context_free(context);
    return error;
  });
}

TEST_F(Allocation, Reports) {
  fail_everywhere([this] {
    phial_buffer* json = nullptr;
    phial_error* error = phial_doctor_json(context_.get(), &json);
    phial_buffer_free(json);
    return error;
  });
}

TEST_F(Allocation, Load) {
  for (const char* name : {"llama-smol", "phi3-plain-f16.gguf"}) {
    const std::string path = golden_path(name);
    fail_everywhere([this, &path] {
      phial_model* model = nullptr;
      phial_error* error = phial_model_load(context_.get(), path.c_str(), nullptr, &model);
      phial_model_free(model);
      return error;
    });
  }
}

TEST_F(Allocation, Text) {
  const ModelPtr model = load_golden_model(context_, "llama-smol");
  fail_everywhere([&model] {
    phial_buffer* ids = nullptr;
    phial_error* error = phial_tokenize(model.get(), "The capital of France?", 22, 1, &ids);
    phial_buffer_free(ids);
    return error;
  });
  fail_everywhere([&model] {
    const std::string_view messages = R"([{"role":"user","content":"Hi"}])";
    phial_buffer* prompt = nullptr;
    phial_error* error =
        phial_template_render(model.get(), messages.data(), messages.size(), nullptr, &prompt);
    phial_buffer_free(prompt);
    return error;
  });
}

TEST_F(Allocation, Generation) {
  const ModelPtr model = load_golden_model(context_, "llama-smol");
  const std::vector<int32_t> prompt(20, 7);
  fail_everywhere([&] {
    phial_sequence* sequence = nullptr;
    phial_buffer* ids = nullptr;
    phial_error* error = phial_sequence_create(model.get(), nullptr, &sequence);
    if (error == nullptr) error = phial_sequence_append(sequence, prompt.data(), prompt.size());
    phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = 4;
    options.ignore_eos = 1;
    if (error == nullptr) error = phial_generate(sequence, &options, &ids, nullptr, nullptr);
    phial_buffer_free(ids);
    phial_sequence_free(sequence);
    return error;
  });
}

TEST_F(Allocation, Beams) {
  const ModelPtr model = load_golden_model(context_, "llama-smol");
  const std::vector<int32_t> prompt(20, 7);
  fail_everywhere([&] {
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
