/* Text to token ids and back: tokens MODEL TEXT. MODEL needs no weights here. */
#include <phial/phial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(phial_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "tokens: %s\n", phial_error_text(error));
  exit(phial_error_exit_code(error));
}

int main(int argc, char** argv) {
  phial_context* context = NULL;
  phial_model* model = NULL;
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  phial_buffer *ids = NULL, *text = NULL;
  const int32_t* id;
  size_t count, i;
  if (argc != 3) {
    fprintf(stderr, "usage: tokens MODEL TEXT\n");
    return 2;
  }
  options.load = PHIAL_LOAD_TEXT;
  check(phial_context_create(NULL, &context));
  check(phial_model_load(context, argv[1], &options, &model));
  check(phial_tokenize(model, argv[2], strlen(argv[2]), 0, &ids));
  id = phial_buffer_data(ids);
  count = phial_buffer_bytes(ids) / sizeof(int32_t);
  for (i = 0; i < count; ++i) {
    phial_buffer* piece = NULL;
    check(phial_token_piece(model, id[i], &piece));
    printf("%7d  %s\n", (int)id[i], (const char*)phial_buffer_data(piece));
    phial_buffer_free(piece);
  }
  check(phial_detokenize(model, id, count, 0, &text));
  printf("%s\n", (const char*)phial_buffer_data(text));

  phial_buffer_free(text);
  phial_buffer_free(ids);
  phial_model_free(model);
  phial_context_free(context);
  return 0;
}
