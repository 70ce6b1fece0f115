/* A question to a model, its answer as it comes: hello MODEL [QUESTION] */
#include <phial/phial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(phial_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "hello: %s\n", phial_error_text(error));
  exit(phial_error_exit_code(error));
}

/* {"role":"user","content":"..."} in a list, with what JSON wants escaped. */
static char* message_json(const char* question) {
  static const char begin[] = "[{\"role\":\"user\",\"content\":\"";
  static const char end[] = "\"}]";
  char* json = malloc(sizeof begin + sizeof end + 6 * strlen(question));
  char* at;
  if (json == NULL) exit(5);
  at = json + sprintf(json, "%s", begin);
  for (; *question != '\0'; ++question) {
    if (*question == '"' || *question == '\\') {
      at += sprintf(at, "\\%c", *question);
    } else if ((unsigned char)*question < 0x20) {
      at += sprintf(at, "\\u%04x", (unsigned)*question);
    } else {
      *at++ = *question;
    }
  }
  strcpy(at, end);
  return json;
}

static int print(void* user, int32_t id, const char* text, size_t text_bytes) {
  (void)user;
  (void)id;
  fwrite(text, 1, text_bytes, stdout);
  fflush(stdout);
  return 0; /* go on */
}

int main(int argc, char** argv) {
  phial_context* context = NULL;
  phial_model* model = NULL;
  phial_sequence* sequence = NULL;
  phial_buffer *prompt = NULL, *ids = NULL, *new_ids = NULL;
  phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
  char* messages;
  if (argc < 2) {
    fprintf(stderr, "usage: hello MODEL [QUESTION]\n");
    return 2;
  }
  messages = message_json(argc > 2 ? argv[2] : "Why is the sky blue?");

  check(phial_context_create(NULL, &context));
  check(phial_model_load(context, argv[1], NULL, &model));
  check(phial_template_render(model, messages, strlen(messages), NULL, &prompt));
  /* The prompt holds the special tokens as text already. */
  check(phial_tokenize(model, phial_buffer_data(prompt), phial_buffer_bytes(prompt), 0, &ids));
  check(phial_sequence_create(model, NULL, &sequence));
  check(phial_sequence_append(sequence, phial_buffer_data(ids),
                              phial_buffer_bytes(ids) / sizeof(int32_t)));
  options.max_new_tokens = 64;
  options.on_token = print;
  check(phial_generate(sequence, &options, &new_ids, NULL, NULL));
  printf("\n");

  phial_buffer_free(new_ids);
  phial_buffer_free(ids);
  phial_buffer_free(prompt);
  phial_sequence_free(sequence);
  phial_model_free(model);
  phial_context_free(context);
  free(messages);
  return 0;
}
