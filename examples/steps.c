/* A generation step by step, with sampling of our own: each token is drawn from the two most likely
 * ones, by a coin.  steps MODEL [TEXT] */
#include <phial/phial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(phial_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "steps: %s\n", phial_error_text(error));
  exit(phial_error_exit_code(error));
}

static int32_t one_of_two(const float* logits, int64_t vocabulary) {
  int32_t best = 0, second = 1;
  int64_t i;
  for (i = 1; i < vocabulary; ++i) {
    if (logits[i] > logits[best]) {
      second = best;
      best = (int32_t)i;
    } else if (i != best && logits[i] > logits[second]) {
      second = (int32_t)i;
    }
  }
  return rand() % 2 == 0 ? best : second;
}

int main(int argc, char** argv) {
  phial_context* context = NULL;
  phial_model* model = NULL;
  phial_sequence* sequence = NULL;
  phial_detokenizer* detokenizer = NULL;
  phial_buffer *ids = NULL, *text = NULL;
  const char* prompt = argc > 2 ? argv[2] : "Once upon a time";
  int step;
  if (argc < 2) {
    fprintf(stderr, "usage: steps MODEL [TEXT]\n");
    return 2;
  }
  srand(1);
  check(phial_context_create(NULL, &context));
  check(phial_model_load(context, argv[1], NULL, &model));
  check(phial_sequence_create(model, NULL, &sequence));
  check(phial_detokenizer_create(model, 1, &detokenizer));
  check(phial_tokenize(model, prompt, strlen(prompt), 1, &ids));
  check(phial_sequence_append(sequence, phial_buffer_data(ids),
                              phial_buffer_bytes(ids) / sizeof(int32_t)));
  printf("%s", prompt);
  for (step = 0; step < 16; ++step) {
    float* logits = NULL;
    int64_t rows = 0, vocabulary = 0;
    int32_t id;
    check(phial_sequence_compute_logits(sequence, PHIAL_LOGITS_LAST));
    check(phial_sequence_logits(sequence, &logits, &rows, &vocabulary));
    id = one_of_two(logits, vocabulary);
    check(phial_sequence_append(sequence, &id, 1));
    check(phial_detokenizer_push(detokenizer, id, &text));
    fwrite(phial_buffer_data(text), 1, phial_buffer_bytes(text), stdout);
    phial_buffer_free(text);
  }
  check(phial_detokenizer_finish(detokenizer, &text));
  fwrite(phial_buffer_data(text), 1, phial_buffer_bytes(text), stdout);
  printf("\n");

  phial_buffer_free(text);
  phial_buffer_free(ids);
  phial_detokenizer_free(detokenizer);
  phial_sequence_free(sequence);
  phial_model_free(model);
  phial_context_free(context);
  return 0;
}
