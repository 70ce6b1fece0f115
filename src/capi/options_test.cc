// Structs of callers that know fewer or more fields than this library.
#include "capi/options.h"

#include <cstddef>

#include "capi/test_help.h"

namespace phial::capi {
namespace {

constexpr phial_sampling kDefaults = PHIAL_SAMPLING_INIT;

phial_sampling filled() {
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.do_sample = 1;
  sampling.temperature = 0.5f;
  sampling.top_k = 5;
  sampling.top_p = 0.25f;
  sampling.seed = 9;
  sampling.has_seed = 1;
  return sampling;
}

TEST(Options, NullGivesTheDefaults) {
  const auto read = read_options<phial_sampling>(nullptr, kDefaults, "f");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->temperature, 1.0f);
  EXPECT_EQ(read->size, sizeof(phial_sampling));
}

TEST(Options, SmallerCallersGetDefaultsForWhatTheyDoNotKnow) {
  phial_sampling given = filled();
  given.size = offsetof(phial_sampling, top_k);
  const auto read = read_options(&given, kDefaults, "f");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->do_sample, 1);
  EXPECT_EQ(read->temperature, 0.5f);
  EXPECT_EQ(read->top_k, 0);
  EXPECT_EQ(read->top_p, 1.0f);
  EXPECT_EQ(read->has_seed, 0);
}

TEST(Options, AFieldIsNeverReadInPart) {
  for (size_t size = sizeof(size_t); size <= sizeof(phial_context_options); ++size) {
    phial_context_options given = {size, 3, "reference", 7};
    const auto read = read_options(&given, PHIAL_CONTEXT_OPTIONS_INIT, "f");
    ASSERT_TRUE(read.ok());
    const bool knows_isa = size >= offsetof(phial_context_options, max_memory);
    EXPECT_EQ(read->max_memory, size == sizeof(phial_context_options) ? 7u : 0u) << size;
    EXPECT_EQ(read->isa, knows_isa ? given.isa : nullptr) << size;
    EXPECT_EQ(read->threads, size >= offsetof(phial_context_options, threads) + 4 ? 3 : 0) << size;
  }
}

TEST(Options, EveryStructEndsWithItsLastField) {
  // Trailing padding may hold the next field, but no field may be missing from the table.
  const auto covers = [](size_t last_end, size_t size) { return size - last_end < sizeof(void*); };
  EXPECT_TRUE(
      covers(std::end(FieldEnds<phial_context_options>::kEnds)[-1], sizeof(phial_context_options)));
  EXPECT_TRUE(
      covers(std::end(FieldEnds<phial_model_options>::kEnds)[-1], sizeof(phial_model_options)));
  EXPECT_TRUE(covers(std::end(FieldEnds<phial_template_options>::kEnds)[-1],
                     sizeof(phial_template_options)));
  EXPECT_TRUE(covers(std::end(FieldEnds<phial_sequence_options>::kEnds)[-1],
                     sizeof(phial_sequence_options)));
  EXPECT_TRUE(covers(std::end(FieldEnds<phial_sampling>::kEnds)[-1], sizeof(phial_sampling)));
  EXPECT_TRUE(covers(std::end(FieldEnds<phial_generate_options>::kEnds)[-1],
                     sizeof(phial_generate_options)));
  EXPECT_TRUE(
      covers(std::end(FieldEnds<phial_generate_stats>::kEnds)[-1], sizeof(phial_generate_stats)));
  EXPECT_TRUE(covers(std::end(FieldEnds<phial_output>::kEnds)[-1], sizeof(phial_output)));
}

// Callers of 0.1.0 as first published know these structs up to has_seed and user.
TEST(Options, FirstCallersGetWhatTheyGot) {
  phial_generate_options given = PHIAL_GENERATE_OPTIONS_INIT;
  given.size = offsetof(phial_generate_options, min_new_tokens);
  given.max_new_tokens = 5;
  given.num_beams = 7;  // behind the end of their struct
  given.stop_string_count = 3;
  const phial_generate_options defaults = PHIAL_GENERATE_OPTIONS_INIT;
  const auto read = read_options(&given, defaults, "f");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->max_new_tokens, 5);
  EXPECT_EQ(read->num_beams, 0);
  EXPECT_EQ(read->stop_string_count, 0u);
  EXPECT_EQ(read->logprobs, -1);
  phial_sampling sampling = filled();
  sampling.size = offsetof(phial_sampling, min_p);
  sampling.min_p = 0.5f;
  const auto old = read_options(&sampling, kDefaults, "f");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->has_seed, 1);
  EXPECT_EQ(old->min_p, 0.0f);
  EXPECT_EQ(old->typical_p, 1.0f);
}

TEST(Options, SizesThatCannotBeAreUsageErrors) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{4097}, SIZE_MAX}) {
    phial_sampling given = filled();
    given.size = size;
    const auto read = read_options(&given, kDefaults, "f");
    ASSERT_FALSE(read.ok()) << size;
    EXPECT_EQ(read.error().code, ErrorCode::usage);
  }
}

TEST(Options, NewerCallersMayUseOnlyWhatIsKnownHere) {
  struct Newer {
    phial_sampling known;
    int64_t more;
  } newer = {filled(), 0};
  newer.known.size = sizeof(Newer);
  const auto read = read_options(&newer.known, kDefaults, "f");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->top_k, 5);
  newer.more = 1;
  EXPECT_EQ(read_options(&newer.known, kDefaults, "f").error().code, ErrorCode::usage);
}

TEST(Options, ResultsAreWrittenAsFarAsTheCallerKnows) {
  phial_generate_stats value = PHIAL_GENERATE_STATS_INIT;
  value.prompt_tokens = 3;
  value.new_tokens = 4;
  value.prefill_ms = 5;
  phial_generate_stats out = PHIAL_GENERATE_STATS_INIT;
  out.size = offsetof(phial_generate_stats, new_tokens);
  out.new_tokens = -7;
  ASSERT_TRUE(write_struct(value, &out, "f").ok());
  EXPECT_EQ(out.size, offsetof(phial_generate_stats, new_tokens));
  EXPECT_EQ(out.prompt_tokens, 3);
  EXPECT_EQ(out.new_tokens, -7);
}

}  // namespace
}  // namespace phial::capi
