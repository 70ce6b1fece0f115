/* The C interface from C99, through the shared library: what a program in another language sees.
 * usage: abi_test VERSION MODEL */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "phial/phial.h"

static int failures = 0;

static void expect(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "FAILED: %s\n", what);
  ++failures;
}

/* Prints and frees an error; whether there was none. */
static int succeeded(phial_error* error) {
  const int ok = error == NULL;
  if (!ok) fprintf(stderr, "FAILED: %s\n", phial_error_text(error));
  phial_error_free(error);
  return ok;
}

static int has_code(phial_error* error, const char* code) {
  const int same = error != NULL && strcmp(phial_error_code(error), code) == 0;
  phial_error_free(error);
  return same;
}

static void test_structs(void) {
  const phial_context_options context = PHIAL_CONTEXT_OPTIONS_INIT;
  const phial_model_options model = PHIAL_MODEL_OPTIONS_INIT;
  const phial_template_options template = PHIAL_TEMPLATE_OPTIONS_INIT;
  const phial_sequence_options sequence = PHIAL_SEQUENCE_OPTIONS_INIT;
  const phial_sampling sampling = PHIAL_SAMPLING_INIT;
  const phial_generate_options generate = PHIAL_GENERATE_OPTIONS_INIT;
  const phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
  const phial_output output = PHIAL_OUTPUT_INIT;
  expect(context.size == sizeof context && context.threads == 0, "context options");
  expect(model.size == sizeof model && model.load == PHIAL_LOAD_ALL, "model options");
  expect(template.size == sizeof template && template.add_generation_prompt == 1, "template");
  expect(sequence.size == sizeof sequence && sequence.context == 0, "sequence options");
  expect(sampling.size == sizeof sampling && sampling.do_sample == 0, "sampling");
  expect(sampling.temperature == 1.0f && sampling.top_p == 1.0f, "sampling filters are off");
  expect(generate.size == sizeof generate && generate.max_new_tokens == -1, "generate options");
  expect(generate.on_token == NULL && generate.user == NULL, "callbacks are off");
  expect(generate.min_new_tokens == -1 && generate.no_repeat_ngram_size == -1 &&
             generate.repetition_penalty == 0.0f && generate.num_beams == 0 &&
             generate.early_stopping == PHIAL_EARLY_STOPPING_MODEL,
         "what the model says holds");
  expect(generate.logprobs == -1 && generate.on_scores == NULL, "log-probabilities are off");
  expect(sampling.min_p == 0.0f && sampling.typical_p == 1.0f, "newer filters are off");
  expect(stats.size == sizeof stats, "stats");
  expect(output.size == sizeof output && output.ids == NULL, "output");
  expect(sizeof(phial_load) == 4 && sizeof(phial_logits_rows) == 4, "enums are as wide as int");
}

static int count_token(void* user, int32_t id, const char* text, size_t text_bytes) {
  (void)text;
  (void)text_bytes;
  if (id >= 0) ++*(int*)user;
  return 0;
}

static void test_generation(phial_model* model) {
  const char text[] = "What is the capital of France?";
  phial_buffer *ids = NULL, *new_ids = NULL, *decoded = NULL;
  phial_sequence *sequence = NULL, *fork = NULL;
  phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
  phial_finish finish = PHIAL_FINISH_STOP;
  int calls = 0;
  float* logits = NULL;
  int64_t rows = 0, vocabulary = 0;
  int32_t first = -1;

  if (!succeeded(phial_tokenize(model, text, strlen(text), 1, &ids))) {
    ++failures;
    return;
  }
  expect(phial_buffer_bytes(ids) % sizeof(int32_t) == 0, "ids are whole");
  if (!succeeded(phial_sequence_create(model, NULL, &sequence)) ||
      !succeeded(phial_sequence_append(sequence, (const int32_t*)phial_buffer_data(ids),
                                       phial_buffer_bytes(ids) / sizeof(int32_t))) ||
      !succeeded(phial_sequence_compute_logits(sequence, PHIAL_LOGITS_LAST)) ||
      !succeeded(phial_sequence_logits(sequence, &logits, &rows, &vocabulary)) ||
      !succeeded(phial_sequence_sample(sequence, NULL, &first)) ||
      !succeeded(phial_sequence_fork(sequence, &fork))) {
    ++failures;
    return;
  }
  expect(rows == 1 && vocabulary > 0 && isfinite(logits[0]), "one row of logits");
  expect(first >= 0 && first < vocabulary, "a token of the vocabulary");

  options.max_new_tokens = 8;
  options.ignore_eos = 1;
  options.on_token = count_token;
  options.user = &calls;
  expect(succeeded(phial_sequence_rewind(fork, phial_sequence_length(fork) - 1)), "rewind");
  expect(succeeded(phial_sequence_append(
             fork,
             (const int32_t*)phial_buffer_data(ids) + phial_buffer_bytes(ids) / sizeof(int32_t) - 1,
             1)),
         "append");
  expect(succeeded(phial_generate(fork, &options, &new_ids, &finish, &stats)), "generate");
  expect(calls == 8 && stats.new_tokens == 8 && finish == PHIAL_FINISH_LENGTH, "eight tokens");
  expect(phial_buffer_bytes(new_ids) == 8 * sizeof(int32_t), "eight ids");
  expect(*(const int32_t*)phial_buffer_data(new_ids) == first,
         "greedy generation begins with the most likely token");
  expect(succeeded(
             phial_detokenize(model, (const int32_t*)phial_buffer_data(new_ids), 8, 0, &decoded)),
         "detokenize");

  phial_buffer_free(decoded);
  phial_buffer_free(new_ids);
  phial_buffer_free(ids);
  phial_sequence_free(sequence);
  phial_sequence_free(fork);
}

/* What was read is not read again, and goes on as if it had never been away. */
static void test_session(phial_model* model) {
  static const char path[] = "abi_test.session";
  const int32_t prompt[] = {51, 82, 339, 263, 279}, more = 7;
  const int32_t* ids = NULL;
  int64_t count = 0, computed = 0, rows = 0, vocabulary = 0, i;
  phial_sequence_options options = PHIAL_SEQUENCE_OPTIONS_INIT;
  phial_sequence* pair[2] = {NULL, NULL};
  float* logits[2] = {NULL, NULL};
  options.context = 4;
  if (!succeeded(phial_sequence_create(model, NULL, &pair[0])) ||
      !succeeded(phial_sequence_append(pair[0], prompt, 5)) ||
      !succeeded(phial_sequence_compute_logits(pair[0], PHIAL_LOGITS_LAST)) ||
      !succeeded(phial_sequence_append(pair[0], &more, 1)) ||
      !succeeded(phial_sequence_save(pair[0], path)) ||
      !succeeded(phial_sequence_load(model, NULL, path, &pair[1])) ||
      !succeeded(phial_sequence_tokens(pair[1], &ids, &count, &computed))) {
    ++failures;
    return;
  }
  expect(count == 6 && computed == 5 && ids[4] == 279 && ids[5] == more, "all tokens are back");
  for (i = 0; i < 2; ++i) {
    expect(succeeded(phial_sequence_compute_logits(pair[i], PHIAL_LOGITS_LAST)), "compute");
    expect(succeeded(phial_sequence_logits(pair[i], &logits[i], &rows, &vocabulary)), "logits");
  }
  expect(logits[0] != NULL && logits[1] != NULL &&
             memcmp(logits[0], logits[1], (size_t)vocabulary * sizeof(float)) == 0,
         "the same logits bit for bit");
  for (i = 0; i < 2; ++i) phial_sequence_free(pair[i]);
  expect(has_code(phial_sequence_load(model, &options, path, &pair[0]), "context_full"),
         "a context that is too small");
  remove(path);
  expect(has_code(phial_sequence_load(model, NULL, path, &pair[0]), "not_found"), "no file");
}

static int forbid(void* user, size_t output, const int32_t* tokens, size_t token_count,
                  float* scores, size_t vocabulary) {
  const int32_t id = *(const int32_t*)user;
  (void)output;
  (void)tokens;
  (void)token_count;
  if ((size_t)id < vocabulary) scores[id] = -INFINITY;
  return 0;
}

/* Two sequences together: beams with log-probabilities, and one whose scores are edited. */
static void test_outputs(phial_model* model) {
  const int32_t prompt[] = {51, 82, 339, 263, 279};
  int32_t forbidden = 0;
  phial_sequence* sequences[2] = {NULL, NULL};
  phial_generate_options options[2] = {PHIAL_GENERATE_OPTIONS_INIT, PHIAL_GENERATE_OPTIONS_INIT};
  const phial_generate_options* given[2];
  phial_outputs* outputs[2] = {NULL, NULL};
  phial_error* errors[2] = {NULL, NULL};
  phial_output output = PHIAL_OUTPUT_INIT;
  phial_logprob chosen;
  const phial_logprob* top = NULL;
  size_t top_count = 0, i;
  for (i = 0; i < 2; ++i) {
    if (!succeeded(phial_sequence_create(model, NULL, &sequences[i])) ||
        !succeeded(phial_sequence_append(sequences[i], prompt, 5)) ||
        !succeeded(phial_sequence_compute_logits(sequences[i], PHIAL_LOGITS_LAST)) ||
        !succeeded(phial_sequence_sample(sequences[i], NULL, &forbidden))) {
      ++failures;
      return;
    }
    options[i].max_new_tokens = 6;
    options[i].ignore_eos = 1;
    given[i] = &options[i];
  }
  options[0].num_beams = 3;
  options[0].num_return_sequences = 2;
  options[0].logprobs = 4;
  options[1].on_scores = forbid;
  options[1].user = &forbidden;
  expect(succeeded(phial_generate_batch(sequences, given, 2, outputs, errors)), "batch");
  expect(errors[0] == NULL && errors[1] == NULL, "no errors");
  expect(phial_outputs_count(outputs[0]) == 2 && phial_outputs_count(outputs[1]) == 1, "counts");
  expect(succeeded(phial_outputs_get(outputs[0], 1, &output)), "the second beam");
  expect(output.id_count == 6 && output.score < 0 && output.text != NULL, "a whole answer");
  expect(succeeded(phial_outputs_logprobs(outputs[0], 1, 5, &chosen, &top, &top_count)),
         "log-probabilities");
  expect(top_count == 4 && chosen.id == output.ids[5] && top[0].logprob >= top[3].logprob,
         "the most likely come first");
  expect(succeeded(phial_outputs_get(outputs[1], 0, &output)), "the edited answer");
  expect(output.ids[0] != forbidden, "a forbidden token is not chosen");
  for (i = 0; i < 2; ++i) {
    phial_outputs_free(outputs[i]);
    phial_sequence_free(sequences[i]);
  }
}

int main(int argc, char** argv) {
  phial_context* context = NULL;
  phial_model* model = NULL;
  phial_buffer* json = NULL;
  if (argc != 3) {
    fprintf(stderr, "usage: abi_test VERSION MODEL\n");
    return 2;
  }
  expect(strcmp(phial_version(), PHIAL_VERSION) == 0, "library and header are of one version");
  expect(strcmp(phial_version(), argv[1]) == 0, "library and build are of one version");
  test_structs();
  expect(has_code(phial_model_load(NULL, argv[2], NULL, &model), "usage"), "NULL context");
  if (!succeeded(phial_context_create(NULL, &context))) return 1;
  expect(has_code(phial_model_load(context, "/no/such/model", NULL, &model), "not_found"),
         "a model that is not there");
  if (!succeeded(phial_model_load(context, argv[2], NULL, &model))) return 1;
  phial_context_free(context); /* the model keeps it alive */
  expect(succeeded(phial_model_info_json(model, 0, &json)), "info");
  expect(json != NULL && ((const char*)phial_buffer_data(json))[0] == '{', "info is an object");
  phial_buffer_free(json);
  test_generation(model);
  test_outputs(model);
  test_session(model);
  phial_model_free(model);
  if (failures == 0) printf("abi_test: all well\n");
  return failures == 0 ? 0 : 1;
}
