// Every function of phial.h with NULL where an object or a result belongs: a usage error, no crash.
#include <cstdlib>

#include "capi/test_help.h"

namespace phial::capi {
namespace {

class NullArguments : public testing::Test {
 protected:
  ContextPtr context_ = make_context();
  ModelPtr model_ = load_golden_model(context_, "llama-smol");
  SequencePtr sequence_ = make_sequence(model_);
  phial_buffer* buffer_ = nullptr;
  const int32_t id_ = 1;
};

TEST_F(NullArguments, Context) {
  EXPECT_EQ(code_of(phial_context_create(nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_doctor_json(nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_doctor_json(context_.get(), nullptr)), "usage");
  EXPECT_EQ(code_of(phial_errors_json(nullptr)), "usage");
  EXPECT_EQ(code_of(phial_npy_header(1, 1, nullptr)), "usage");
}

TEST_F(NullArguments, Model) {
  phial_model* model = nullptr;
  EXPECT_EQ(code_of(phial_model_load(nullptr, "x", nullptr, &model)), "usage");
  EXPECT_EQ(code_of(phial_model_load(context_.get(), nullptr, nullptr, &model)), "usage");
  EXPECT_EQ(code_of(phial_model_load(context_.get(), "x", nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_model_info_json(nullptr, 0, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_model_info_json(model_.get(), 0, nullptr)), "usage");
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  EXPECT_EQ(code_of(phial_model_sampling(nullptr, &sampling)), "usage");
  EXPECT_EQ(code_of(phial_model_sampling(model_.get(), nullptr)), "usage");
}

TEST_F(NullArguments, Bench) {
  EXPECT_EQ(code_of(phial_bench_json(nullptr, model_.get(), nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_bench_json(context_.get(), nullptr, nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_bench_json(context_.get(), model_.get(), nullptr, nullptr)), "usage");
}

TEST_F(NullArguments, Text) {
  EXPECT_EQ(code_of(phial_tokenize(nullptr, "a", 1, 1, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_tokenize(model_.get(), nullptr, 1, 1, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_tokenize(model_.get(), "a", 1, 1, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_detokenize(nullptr, &id_, 1, 0, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_detokenize(model_.get(), nullptr, 1, 0, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_detokenize(model_.get(), &id_, 1, 0, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_token_piece(nullptr, 1, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_token_piece(model_.get(), 1, nullptr)), "usage");
  phial_detokenizer* detokenizer = nullptr;
  EXPECT_EQ(code_of(phial_detokenizer_create(nullptr, 0, &detokenizer)), "usage");
  EXPECT_EQ(code_of(phial_detokenizer_create(model_.get(), 0, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_detokenizer_push(nullptr, 1, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_detokenizer_finish(nullptr, &buffer_)), "usage");
  must_succeed(phial_detokenizer_create(model_.get(), 0, &detokenizer));
  EXPECT_EQ(code_of(phial_detokenizer_push(detokenizer, 1, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_detokenizer_finish(detokenizer, nullptr)), "usage");
  phial_detokenizer_free(detokenizer);
}

TEST_F(NullArguments, Template) {
  EXPECT_EQ(code_of(phial_template_render(nullptr, "[]", 2, nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_template_render(model_.get(), nullptr, 2, nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_template_render(model_.get(), "[]", 2, nullptr, nullptr)), "usage");
}

TEST_F(NullArguments, Evaluation) {
  EXPECT_EQ(code_of(phial_perplexity_json(nullptr, &id_, 1, nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_perplexity_json(sequence_.get(), nullptr, 1, nullptr, &buffer_)),
            "usage");
  EXPECT_EQ(code_of(phial_perplexity_json(sequence_.get(), &id_, 1, nullptr, nullptr)), "usage");
  const SequencePtr other = make_sequence(model_);
  EXPECT_EQ(code_of(phial_compare_json(nullptr, other.get(), &id_, 1, nullptr, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_compare_json(sequence_.get(), nullptr, &id_, 1, nullptr, &buffer_)),
            "usage");
  EXPECT_EQ(
      code_of(phial_compare_json(sequence_.get(), other.get(), nullptr, 1, nullptr, &buffer_)),
      "usage");
  EXPECT_EQ(code_of(phial_compare_json(sequence_.get(), other.get(), &id_, 1, nullptr, nullptr)),
            "usage");
  EXPECT_EQ(code_of(phial_quantization_svg(nullptr, 2, &buffer_)), "usage");
  EXPECT_EQ(code_of(phial_quantization_svg("{}", 2, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_quantization_svg("{}", 2, &buffer_)), "invalid_input");
}

TEST_F(NullArguments, Sequence) {
  phial_sequence* sequence = nullptr;
  EXPECT_EQ(code_of(phial_sequence_create(nullptr, nullptr, &sequence)), "usage");
  EXPECT_EQ(code_of(phial_sequence_create(model_.get(), nullptr, nullptr)), "usage");
  EXPECT_EQ(phial_sequence_length(nullptr), 0);
  EXPECT_EQ(code_of(phial_sequence_append(nullptr, &id_, 1)), "usage");
  EXPECT_EQ(code_of(phial_sequence_append(sequence_.get(), nullptr, 1)), "usage");
  EXPECT_EQ(code_of(phial_sequence_append(sequence_.get(), nullptr, 0)), "ok");
  EXPECT_EQ(code_of(phial_sequence_compute_logits(nullptr, PHIAL_LOGITS_LAST)), "usage");
  float* logits = nullptr;
  int64_t rows = 0, vocabulary = 0;
  EXPECT_EQ(code_of(phial_sequence_logits(nullptr, &logits, &rows, &vocabulary)), "usage");
  EXPECT_EQ(code_of(phial_sequence_logits(sequence_.get(), nullptr, &rows, &vocabulary)), "usage");
  EXPECT_EQ(code_of(phial_sequence_logits(sequence_.get(), &logits, nullptr, &vocabulary)),
            "usage");
  EXPECT_EQ(code_of(phial_sequence_logits(sequence_.get(), &logits, &rows, nullptr)), "usage");
  int32_t id = 0;
  EXPECT_EQ(code_of(phial_sequence_sample(nullptr, nullptr, &id)), "usage");
  EXPECT_EQ(code_of(phial_sequence_sample(sequence_.get(), nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_rewind(nullptr, 0)), "usage");
  EXPECT_EQ(code_of(phial_sequence_fork(nullptr, &sequence)), "usage");
  EXPECT_EQ(code_of(phial_sequence_fork(sequence_.get(), nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_save(nullptr, "x")), "usage");
  EXPECT_EQ(code_of(phial_sequence_save(sequence_.get(), nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_load(nullptr, nullptr, "x", &sequence)), "usage");
  EXPECT_EQ(code_of(phial_sequence_load(model_.get(), nullptr, nullptr, &sequence)), "usage");
  EXPECT_EQ(code_of(phial_sequence_load(model_.get(), nullptr, "x", nullptr)), "usage");
  const int32_t* ids = nullptr;
  int64_t count = 0;
  EXPECT_EQ(code_of(phial_sequence_tokens(nullptr, &ids, &count, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_tokens(sequence_.get(), nullptr, &count, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_tokens(sequence_.get(), &ids, nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_generate(nullptr, nullptr, &buffer_, nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_generate(sequence_.get(), nullptr, nullptr, nullptr, nullptr)), "usage");
  phial_sequence_cancel(nullptr);
}

TEST_F(NullArguments, Outputs) {
  phial_outputs* outputs = nullptr;
  phial_error* error = nullptr;
  phial_sequence* const sequence = sequence_.get();
  phial_sequence* const none = nullptr;
  EXPECT_EQ(code_of(phial_generate_outputs(nullptr, nullptr, &outputs)), "usage");
  EXPECT_EQ(code_of(phial_generate_outputs(sequence, nullptr, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_generate_batch(nullptr, nullptr, 1, &outputs, &error)), "usage");
  EXPECT_EQ(code_of(phial_generate_batch(&none, nullptr, 1, &outputs, &error)), "usage");
  EXPECT_EQ(code_of(phial_generate_batch(&sequence, nullptr, 1, nullptr, &error)), "usage");
  EXPECT_EQ(code_of(phial_generate_batch(&sequence, nullptr, 1, &outputs, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_sequence_process_logits(nullptr, nullptr, 0)), "usage");
  EXPECT_EQ(phial_outputs_count(nullptr), 0u);
  phial_output output = PHIAL_OUTPUT_INIT;
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
  EXPECT_EQ(code_of(phial_outputs_get(nullptr, 0, &output)), "usage");
  EXPECT_EQ(code_of(phial_outputs_stats(nullptr, &stats)), "usage");
  must_succeed(phial_sequence_append(sequence, &id_, 1));
  phial_generate_options one = PHIAL_GENERATE_OPTIONS_INIT;
  one.max_new_tokens = 1;
  must_succeed(phial_generate_outputs(sequence, &one, &outputs));
  EXPECT_EQ(code_of(phial_outputs_get(outputs, 0, nullptr)), "usage");
  EXPECT_EQ(code_of(phial_outputs_stats(outputs, nullptr)), "usage");
  phial_logprob chosen = {};
  const phial_logprob* top = nullptr;
  size_t count = 0;
  EXPECT_EQ(code_of(phial_outputs_logprobs(nullptr, 0, 0, &chosen, &top, &count)), "usage");
  EXPECT_EQ(code_of(phial_outputs_logprobs(outputs, 0, 0, nullptr, &top, &count)), "usage");
  EXPECT_EQ(code_of(phial_outputs_logprobs(outputs, 0, 0, &chosen, nullptr, &count)), "usage");
  EXPECT_EQ(code_of(phial_outputs_logprobs(outputs, 0, 0, &chosen, &top, nullptr)), "usage");
  phial_outputs_free(outputs);
}

TEST_F(NullArguments, FreeingNothingIsFine) {
  phial_error_free(nullptr);
  phial_buffer_free(nullptr);
  phial_context_free(nullptr);
  phial_model_free(nullptr);
  phial_sequence_free(nullptr);
  phial_detokenizer_free(nullptr);
  phial_outputs_free(nullptr);
}

}  // namespace
}  // namespace phial::capi
