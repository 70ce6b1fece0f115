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
  expect(context.size == sizeof context && context.threads == 0, "context options");
  expect(model.size == sizeof model && model.load == PHIAL_LOAD_ALL, "model options");
  expect(template.size == sizeof template && template.add_generation_prompt == 1, "template");
  expect(sequence.size == sizeof sequence && sequence.context == 0, "sequence options");
  expect(sampling.size == sizeof sampling && sampling.do_sample == 0, "sampling");
  expect(sampling.temperature == 1.0f && sampling.top_p == 1.0f, "sampling filters are off");
  expect(generate.size == sizeof generate && generate.max_new_tokens == -1, "generate options");
  expect(stats.size == sizeof stats, "stats");
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
  expect(succeeded(phial_detokenize(model, (const int32_t*)phial_buffer_data(new_ids), 8, 0,
                                    &decoded)),
         "detokenize");

  phial_buffer_free(decoded);
  phial_buffer_free(new_ids);
  phial_buffer_free(ids);
  phial_sequence_free(sequence);
  phial_sequence_free(fork);
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
  phial_model_free(model);
  if (failures == 0) printf("abi_test: all well\n");
  return failures == 0 ? 0 : 1;
}
