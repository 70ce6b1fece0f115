// Many short generations leave memory as it was. PHIAL_GENERATIONS says how many (default 500);
// prints what memory did.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "src/capi/test_help.h"
#include "sys/memory.h"

namespace {

using namespace phial::capi;

// A prompt of its own length and first token, 1 to 16 new tokens, greedy or drawn; every third one
// goes on from a fork, every fifth ends by its callback.
void generate(const ModelPtr& model, int64_t number) {
  const SequencePtr first = make_sequence(model);
  std::vector<int32_t> prompt(static_cast<size_t>(1 + number % 37));
  for (size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = static_cast<int32_t>((static_cast<size_t>(number) * 31 + i % 5) % 200);
  }
  must_succeed(phial_sequence_append(first.get(), prompt.data(), prompt.size()));
  phial_sequence* sequence = first.get();
  SequencePtr fork;
  if (number % 3 == 0) {
    phial_sequence* copy = nullptr;
    must_succeed(phial_sequence_compute_logits(first.get(), PHIAL_LOGITS_LAST));
    must_succeed(phial_sequence_fork(first.get(), &copy));
    fork.reset(copy);
    sequence = copy;
  }
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.do_sample = number % 2 == 0 ? 0 : 1;
  phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
  options.sampling = &sampling;
  options.max_new_tokens = 1 + number % 16;
  if (number % 5 == 0) {
    options.on_token = [](void*, int32_t, const char*, size_t) { return 1; };
  }
  phial_buffer* ids = nullptr;
  must_succeed(phial_generate(sequence, &options, &ids, nullptr, nullptr));
  phial_buffer_free(ids);
}

TEST(Memory, ShortGenerationsLeaveItFlat) {
  const char* wanted = std::getenv("PHIAL_GENERATIONS");
  const int64_t count = wanted == nullptr ? 500 : std::atoll(wanted);
  const ContextPtr context = make_context();
  const ModelPtr model = load_golden_model(context, "llama-smol");
  // Buffers that are kept, and all the sizes that the allocator puts aside.
  constexpr int64_t kWarm = 200;
  for (int64_t i = 0; i < kWarm; ++i) generate(model, i);
  const auto begin = static_cast<int64_t>(phial::anonymous_bytes());
  int64_t most = begin;
  for (int64_t i = 0; i < count; ++i) {
    generate(model, kWarm + i);
    if (i % 50 == 0) most = std::max(most, static_cast<int64_t>(phial::anonymous_bytes()));
  }
  const auto end = static_cast<int64_t>(phial::anonymous_bytes());
  std::printf("%lld generations: %lld bytes of anonymous memory before, %lld after, %lld at most\n",
              static_cast<long long>(count), static_cast<long long>(begin),
              static_cast<long long>(end), static_cast<long long>(most));
  ASSERT_GT(begin, 0);
  // A page of keys and values that stays behind with each generation would be 16 MB after 500.
  EXPECT_LE(std::max(end, most) - begin, int64_t{1} << 20);
}

}  // namespace
