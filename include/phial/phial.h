/* phial.h - the C interface of phial, and the only stable one.
 *
 * Conventions
 *  1. Functions that can fail return a phial_error*: NULL means success. The caller frees an error
 *     with phial_error_free. Results come through the last pointers; on failure they are untouched.
 *  2. Objects are opaque. The caller frees each object it was given with the matching _free
 *     function; all _free functions accept NULL. A model keeps its context alive and a sequence its
 *     model, so objects may be freed in any order.
 *  3. Text is UTF-8 with an explicit length in bytes. Texts and arrays that phial returns are
 *     phial_buffer objects; a text in a buffer is followed by a zero byte that is not counted.
 *  4. Structs begin with `size`: set it to sizeof the struct (the initializer macros do). Fields
 *     are only ever added at the end; what an older caller does not know has its default, and what
 *     a newer caller sets beyond what this library knows is an error (usage), never ignored. A NULL
 *     options pointer means all defaults.
 *  5. Threads: contexts and models may be shared by threads. A sequence, a detokenizer and a buffer
 *     belong to one thread at a time. phial_sequence_cancel may be called from any thread and from
 *     a signal handler.
 *  6. Token ids are int32_t; logits are float. No function prints, exits or throws.
 */
#ifndef PHIAL_PHIAL_H_
#define PHIAL_PHIAL_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define PHIAL_API __declspec(dllexport)
#else
#define PHIAL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct phial_error phial_error;
typedef struct phial_buffer phial_buffer;
typedef struct phial_context phial_context;
typedef struct phial_model phial_model;
typedef struct phial_sequence phial_sequence;
typedef struct phial_detokenizer phial_detokenizer;
typedef struct phial_outputs phial_outputs;

/* The version of this header, and that of the library that runs. */
#define PHIAL_VERSION "0.1.0"
PHIAL_API const char* phial_version(void);

/* ---- Errors ---------------------------------------------------------------------------------- */

/* The name of the error's code, one of the list that phial_errors_json gives ("damaged" ...). */
PHIAL_API const char* phial_error_code(const phial_error* error);
/* The exit code that the phial command ends with for this error: 1..6 or 130. */
PHIAL_API int phial_error_exit_code(const phial_error* error);
/* What is wrong; where (file, field, offset); what to do. One line each, never NULL, no control
 * characters, valid until the error is freed. `where` and `hint` may be empty. */
PHIAL_API const char* phial_error_message(const phial_error* error);
PHIAL_API const char* phial_error_where(const phial_error* error);
PHIAL_API const char* phial_error_hint(const phial_error* error);
/* "where: message (hint)", the parts that are not empty, on one line of at most 590 bytes, so that
 * a program can put its name in front and stay below 600. */
PHIAL_API const char* phial_error_text(const phial_error* error);
/* An error of the caller's own, made printable and cut to length as the library's are: control
 * characters are escaped. `code` is one of the fixed list (another one gives "internal"). NULL
 * texts count as empty. Never returns NULL. */
PHIAL_API phial_error* phial_error_create(const char* code, const char* where, const char* message,
                                          const char* hint);
PHIAL_API void phial_error_free(phial_error* error);

/* ---- Buffers --------------------------------------------------------------------------------- */

/* The bytes of a buffer: text, or an array of int32_t where the function says so. Never NULL. */
PHIAL_API const void* phial_buffer_data(const phial_buffer* buffer);
PHIAL_API size_t phial_buffer_bytes(const phial_buffer* buffer);
PHIAL_API void phial_buffer_free(phial_buffer* buffer);

/* ---- Context --------------------------------------------------------------------------------- */

typedef struct phial_context_options {
  size_t size;
  /* Compute threads, 1..1024; 0: one per physical core. */
  int32_t threads;
  /* Instruction set: "avx512", "avxvnni", "avx2", of AArch64 "i8mm", "dotprod", "neon";
   * "reference"; NULL or "": the environment variable PHIAL_ISA, else the best this machine has. */
  const char* isa;
  /* Most bytes that the models of this context may take for computing, and conversions for their
   * buffers; 0: no limit. What counts are packed copies of weights ("int8"), the keys and values of
   * each sequence's whole context, logits and buffers: what does not fit is refused with over_limit
   * when a model is loaded, a sequence created or a conversion begun, not when it is full. Weights
   * that stay in the mapped file do not count; nor does what is parsed from a model's files, at
   * most 16 times their size plus 64 MB. */
  uint64_t max_memory;
} phial_context_options;
#define PHIAL_CONTEXT_OPTIONS_INIT \
  { sizeof(phial_context_options), 0, NULL, 0 }

/* A context carries the threads and the kernels. One is enough for a program. Its threads compute
 * for one caller at a time; calls from several threads take turns. */
PHIAL_API phial_error* phial_context_create(const phial_context_options* options,
                                            phial_context** context);
PHIAL_API void phial_context_free(phial_context* context);

/* A report on machine and build as JSON text: version, cpu, isa, memory, threads, backends. */
PHIAL_API phial_error* phial_doctor_json(phial_context* context, phial_buffer** json);
/* All error codes as JSON text: [{"code","exit_code","meaning"}]. */
PHIAL_API phial_error* phial_errors_json(phial_buffer** json);

/* ---- Model ----------------------------------------------------------------------------------- */

typedef enum phial_load {
  PHIAL_LOAD_ALL = 0,
  /* Tokenizer and chat template only; needs no weights. */
  PHIAL_LOAD_TEXT = 1,
  /* What phial_model_info_json tells, and no more. */
  PHIAL_LOAD_INFO = 2,
  PHIAL_LOAD_FORCE_INT = 0x7fffffff /* no value: lets the type hold every int, for checks */
} phial_load;

typedef struct phial_model_options {
  size_t size;
  phial_load load;
  /* "fp32", "bf16" or "int8": precision of products. NULL: "int8" where weights are integers and
   * the processor has kernels for it, else "fp32" */
  const char* compute;
  /* "f32", "f16", "bf16", "int8", "int4": keys and values; NULL: "f32" with "fp32", else "f16" */
  const char* kv;
} phial_model_options;
#define PHIAL_MODEL_OPTIONS_INIT \
  { sizeof(phial_model_options), PHIAL_LOAD_ALL, NULL, NULL }

/* Opens `path`: a .gguf or .safetensors file, a folder, or a short name in the local model folder
 * ($PHIAL_MODELS, else $XDG_DATA_HOME/phial/models, else ~/.local/share/phial/models). Weights stay
 * in the mapped file, which must not change while the model lives. */
PHIAL_API phial_error* phial_model_load(phial_context* context, const char* path,
                                        const phial_model_options* options, phial_model** model);
PHIAL_API void phial_model_free(phial_model* model);

/* What the model is, as JSON text: {"format","architecture","parameters","context_length",
 * "quantization","bytes","vocabulary_size","grids":[{"name","tensors","parameters","bytes"}],
 * "tensors":[{"name","dtype","shape","bytes"}]?}. What the files do not tell is null. */
PHIAL_API phial_error* phial_model_info_json(phial_model* model, int with_tensors,
                                             phial_buffer** json);

/* ---- Benchmarks ------------------------------------------------------------------------------ */

typedef enum phial_bench {
  /* Encoding and decoding of text. Needs no weights. */
  PHIAL_BENCH_TOKENIZER = 1,
  /* Reading prompts, making tokens, loading, memory. */
  PHIAL_BENCH_MODEL = 2,
  PHIAL_BENCH_FORCE_INT = 0x7fffffff /* no value: lets the type hold every int, for checks */
} phial_bench;

/* Called before each sample of PHIAL_BENCH_MODEL: what is measured, and how many samples of how
 * many are done (the total may change). Return 0 to go on; anything else ends the call with the
 * error `cancelled`. */
typedef int (*phial_bench_callback)(void* user, const char* what, int64_t done, int64_t total);

typedef struct phial_bench_options {
  size_t size;
  phial_bench what;
  /* Rounds whose median counts, 1..1000. PHIAL_BENCH_TOKENIZER: one more comes first and does not
   * count. PHIAL_BENCH_MODEL: at most so many samples of a row; what takes long has fewer. */
  int32_t rounds;
  /* PHIAL_BENCH_TOKENIZER: the text to encode, UTF-8; NULL: 4 MB of made-up English. */
  const char* text;
  size_t text_bytes;
  /* The rest is for PHIAL_BENCH_MODEL. One of the two: a path as phial_model_load takes it, or
   * "SHAPE:GRID", such as "phi-3-mini:q4_0", for weights at random in the sizes of that model. */
  const char* path;
  const char* synthetic;
  /* Of a synthetic model: its first layers only; 0: all. */
  int64_t layers;
  /* As in phial_model_options. */
  const char* compute;
  const char* kv;
  /* Tokens of prompts (prefill_N), positions at which tokens are made (decode_depth_N), tokens of
   * one pass (pass_N_over_1, 2..16). NULL: 128, 512, 2048, 4096; 0, 1024, 4096; 2..16; of these
   * what the context can hold. None: any pointer with a count of 0. */
  const int64_t* prompts;
  size_t prompt_count;
  const int64_t* depths;
  size_t depth_count;
  const int64_t* batches;
  size_t batch_count;
  /* Least shares that rows may have, as JSON text in the form that docs/performance.md describes;
   * NULL: none. The report then has "floors":[{"name","percent_of_probe","floor","holds"}]. */
  const char* floors_json;
  size_t floors_bytes;
  /* May be NULL. */
  phial_bench_callback on_progress;
  void* user;
} phial_bench_options;
#define PHIAL_BENCH_OPTIONS_INIT                                                               \
  {                                                                                            \
    sizeof(phial_bench_options), PHIAL_BENCH_TOKENIZER, 5, NULL, 0, NULL, NULL, 0, NULL, NULL, \
        NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, NULL                                         \
  }

/* The report as JSON text: {"machine":{as
 * phial_doctor_json},"probes":{...},"rows":[{"name","value", "unit","percent_of_probe"}]}; a row
 * that is no share of a probe has a null percentage. PHIAL_BENCH_TOKENIZER measures the tokenizer
 * of `model` on the calling thread, in its processor time; the report has
 * "text":{"source","bytes","tokens"}, and its probe copies the text and counts its characters.
 * Errors: those of phial_tokenize. PHIAL_BENCH_MODEL opens what the options name (`model` is not
 * looked at) and measures it with all threads of the context, each sample behind probes of memory
 * and arithmetic; rows have "p10", "p90", "samples" and "probe" too, and the report "model" and
 * "settings": docs/performance.md. Errors: those of phial_model_load; usage; context_full (a length
 * that the model cannot hold); cancelled; failed (logits that are not finite). */
PHIAL_API phial_error* phial_bench_json(phial_context* context, phial_model* model,
                                        const phial_bench_options* options, phial_buffer** json);

/* ---- Text ------------------------------------------------------------------------------------ */

/* Whether `text` is UTF-8. Error: invalid_input, naming `where` and the byte offset. */
PHIAL_API phial_error* phial_text_check(const char* text, size_t text_bytes, const char* where);
/* Text to ids (an array of int32_t in the buffer); with `special_tokens` the tokenizer's own
 * beginning and end tokens are added. Errors: text that is not UTF-8 or too long. */
PHIAL_API phial_error* phial_tokenize(phial_model* model, const char* text, size_t text_bytes,
                                      int special_tokens, phial_buffer** ids);
/* Ids to text; bytes that are not UTF-8 become U+FFFD. Errors: an id outside the vocabulary. */
PHIAL_API phial_error* phial_detokenize(phial_model* model, const int32_t* ids, size_t count,
                                        int skip_special_tokens, phial_buffer** text);
/* The raw vocabulary piece of an id; empty for an id without one. */
PHIAL_API phial_error* phial_token_piece(phial_model* model, int32_t id, phial_buffer** piece);

/* Ids to text one by one: the texts of all pushes and of the end together are what phial_detokenize
 * gives, and none ends inside a character. */
PHIAL_API phial_error* phial_detokenizer_create(phial_model* model, int skip_special_tokens,
                                                phial_detokenizer** detokenizer);
PHIAL_API phial_error* phial_detokenizer_push(phial_detokenizer* detokenizer, int32_t id,
                                              phial_buffer** text);
PHIAL_API phial_error* phial_detokenizer_finish(phial_detokenizer* detokenizer,
                                                phial_buffer** text);
PHIAL_API void phial_detokenizer_free(phial_detokenizer* detokenizer);

typedef struct phial_template_options {
  size_t size;
  /* The template to use instead of the model's, or NULL. Then `model` may be NULL. */
  const char* template_text;
  size_t template_bytes;
  /* JSON texts, or NULL: an array of tool definitions; an object of extra variables, which win. */
  const char* tools_json;
  size_t tools_bytes;
  const char* variables_json;
  size_t variables_bytes;
  /* Whether the prompt ends with what begins the assistant's answer. Default 1. */
  int32_t add_generation_prompt;
  /* Which of the model's templates, or NULL: "tool_use" if there are tools and the model has it,
   * else "default". Ignored beside template_text. */
  const char* template_name;
} phial_template_options;
#define PHIAL_TEMPLATE_OPTIONS_INIT \
  { sizeof(phial_template_options), NULL, 0, NULL, 0, NULL, 0, 1, NULL }

/* Renders the chat template with `messages_json`, a JSON array of {"role","content"} objects. The
 * prompt holds the special tokens as text: tokenize it without adding more. The template sees
 * `tools` and `documents` as none when they are absent, and the model's special tokens by name.
 * Messages are prepared as transformers' apply_chat_template does it: members that are null are
 * left out, and reasoning is found under reasoning_content and thinking, whichever of these and
 * reasoning holds it. Errors: not_found (neither the model nor the options have a template, or none
 * of that name), invalid_input (JSON), template_error (the template raised an error), damaged or
 * unsupported (it does not parse), over_limit. */
PHIAL_API phial_error* phial_template_render(phial_model* model, const char* messages_json,
                                             size_t messages_bytes,
                                             const phial_template_options* options,
                                             phial_buffer** prompt);

/* ---- Sequence: a generation in steps --------------------------------------------------------- */

typedef struct phial_sequence_options {
  size_t size;
  /* Most tokens the sequence may hold; 0: the model's context length. */
  int64_t context;
} phial_sequence_options;
#define PHIAL_SEQUENCE_OPTIONS_INIT \
  { sizeof(phial_sequence_options), 0 }

typedef struct phial_sampling {
  size_t size;
  /* 0: the most likely token, always. 1: draw from the filtered distribution. */
  int32_t do_sample;
  /* Divides the logits; > 0, finite. 1: off. */
  float temperature;
  /* Only the k most likely tokens; 0: off. */
  int32_t top_k;
  /* Only the fewest tokens whose probabilities reach this sum, in (0, 1]; 1: off. */
  float top_p;
  /* Seed of the sequence's random numbers; used when has_seed is 1, else one is chosen. A sequence
   * draws from one stream: it begins anew with each generate call that has a seed, and with each
   * sample call that has another seed than the one before. A fork begins its own. */
  uint64_t seed;
  int32_t has_seed;
  /* Only tokens at least this likely, in parts of the most likely one's probability, in [0, 1]; 0:
   * off. */
  float min_p;
  /* Only the tokens of the most typical information (locally typical sampling) that reach this
   * probability, in (0, 1]; 1: off. */
  float typical_p;
} phial_sampling;
#define PHIAL_SAMPLING_INIT \
  { sizeof(phial_sampling), 0, 1.0f, 0, 1.0f, 0, 0, 0.0f, 1.0f }

/* What the model's generation_config.json asks for (greedy when it has none). Any thread. */
PHIAL_API phial_error* phial_model_sampling(phial_model* model, phial_sampling* sampling);

PHIAL_API phial_error* phial_sequence_create(phial_model* model,
                                             const phial_sequence_options* options,
                                             phial_sequence** sequence);
PHIAL_API void phial_sequence_free(phial_sequence* sequence);

/* Tokens in the sequence, computed or not. */
PHIAL_API int64_t phial_sequence_length(const phial_sequence* sequence);
/* Adds ids to the end; nothing is computed yet. Errors: ids outside the vocabulary; context_full.
 */
PHIAL_API phial_error* phial_sequence_append(phial_sequence* sequence, const int32_t* ids,
                                             size_t count);

typedef enum phial_logits_rows {
  PHIAL_LOGITS_LAST = 0, /* one row, of the last token */
  PHIAL_LOGITS_ALL = 1,  /* a row for each token not computed before */
  PHIAL_LOGITS_FORCE_INT = 0x7fffffff
} phial_logits_rows;

/* Runs the model over the tokens that were appended but not computed. All or nothing: an error or a
 * cancellation leaves the sequence as it was before the call. Errors: nothing to compute (usage).
 */
PHIAL_API phial_error* phial_sequence_compute_logits(phial_sequence* sequence,
                                                     phial_logits_rows rows);
/* The logits of the last compute, [rows, vocabulary] row-major; the caller may change them before
 * sampling. Valid until the next call on the sequence other than sample. usage before any compute.
 */
PHIAL_API phial_error* phial_sequence_logits(phial_sequence* sequence, float** logits,
                                             int64_t* rows, int64_t* vocabulary);
/* The header of a NumPy file (.npy) of [rows, columns] float values in row-major order: logits
 * written behind it make a file that numpy.load reads. */
PHIAL_API phial_error* phial_npy_header(uint64_t rows, uint64_t columns, phial_buffer** header);
/* Chooses a token from the last row of logits. The token is not appended. */
PHIAL_API phial_error* phial_sequence_sample(phial_sequence* sequence,
                                             const phial_sampling* sampling, int32_t* id);
/* Forgets all tokens from `length` on. */
PHIAL_API phial_error* phial_sequence_rewind(phial_sequence* sequence, int64_t length);
/* A second sequence with the same tokens; what is computed is shared, not copied. */
PHIAL_API phial_error* phial_sequence_fork(phial_sequence* sequence, phial_sequence** fork);
/* Ids of the sequence's tokens, computed or not, and how many of them, from the first one on, need
 * not be computed any more. Valid until the next call on the sequence; `computed` may be NULL. */
PHIAL_API phial_error* phial_sequence_tokens(const phial_sequence* sequence, const int32_t** ids,
                                             int64_t* count, int64_t* computed);
/* Writes tokens, keys and values to a file, which appears under its name when it is whole: an
 * interrupted call leaves nothing that loads. The format is in docs/session-format.md; the file
 * holds about as many bytes as keys and values take in memory. Logits and random numbers are not in
 * it. Threads: other sequences, forks of this one too, may be used meanwhile. Errors: io_error (the
 * system refused to write: a full disk), out_of_memory. */
PHIAL_API phial_error* phial_sequence_save(const phial_sequence* sequence, const char* path);
/* A sequence from such a file: nothing that was computed is computed again, and what is appended
 * gives bit for bit the logits that it would have given in the sequence that was saved. Where
 * nothing is appended, compute_logits reads the last token again, as after a rewind. All of the
 * file is checked before anything is returned. Errors: not_found, io_error; unsupported (no saved
 * sequence, or of another version); damaged (cut short, changed); invalid_input (saved with another
 * model, ids that the model does not have); context_full (more tokens than the context asked for);
 * over_limit (as phial_sequence_create); usage (a model without weights); out_of_memory. Threads:
 * any. */
PHIAL_API phial_error* phial_sequence_load(phial_model* model,
                                           const phial_sequence_options* options, const char* path,
                                           phial_sequence** sequence);
/* Makes the call that runs on the sequence, or else the next one, end within one step:
 * compute_logits with the error `cancelled`, generate with PHIAL_FINISH_CANCELLED. Accepts NULL. */
PHIAL_API void phial_sequence_cancel(phial_sequence* sequence);

/* ---- Generate: the same steps in one call ---------------------------------------------------- */

typedef enum phial_finish {
  PHIAL_FINISH_STOP = 0,     /* an end token or a stop string was produced */
  PHIAL_FINISH_LENGTH = 1,   /* max_new_tokens or the context was reached */
  PHIAL_FINISH_CANCELLED = 2 /* phial_sequence_cancel, or the callback asked to stop */
} phial_finish;

/* Called after each new token with its id and the text that became certain with it (special tokens
 * left out; may be empty, and is when the model has no tokenizer; not zero-terminated). Text that
 * is still held back at the end, an unfinished character, comes in one more call with the id -1.
 * Return 0 to go on, anything else to stop. It may call nothing on the sequence but cancel. */
typedef int (*phial_token_callback)(void* user, int32_t id, const char* text, size_t text_bytes);

/* Changes the scores of the next token, [vocabulary], in place, behind the other processors and in
 * front of temperature and filters: custom scoring. `output` counts the answers that run at once
 * (sequences, beams), `tokens` are prompt and answer so far. Under beam search scores are
 * log-probabilities. Minus infinity makes a token impossible. Return 0; anything else ends the
 * generation with the error `failed`. Called on the thread that called generate; it may call
 * nothing on the sequence but cancel. */
typedef int (*phial_scores_callback)(void* user, size_t output, const int32_t* tokens,
                                     size_t token_count, float* scores, size_t vocabulary);

/* Ids, and a text; owned by the caller. */
typedef struct phial_ids {
  const int32_t* ids;
  size_t count;
} phial_ids;
typedef struct phial_text {
  const char* text;
  size_t bytes;
} phial_text;
/* Added to the score of the last of `ids` where the ids before it have just been read. Finite, or
 * minus infinity. */
typedef struct phial_bias {
  const int32_t* ids;
  size_t count;
  float bias;
} phial_bias;

typedef enum phial_early_stopping {
  PHIAL_EARLY_STOPPING_MODEL = 0, /* what generation_config.json says, else NO */
  /* The search ends when the best running beam, were it to finish now, would not be among the best
   * num_beams finished ones; */
  PHIAL_EARLY_STOPPING_NO = 1,
  /* as soon as num_beams are finished; */
  PHIAL_EARLY_STOPPING_YES = 2,
  /* when no running beam can become one of the best at any length. */
  PHIAL_EARLY_STOPPING_NEVER = 3,
  PHIAL_EARLY_STOPPING_FORCE_INT = 0x7fffffff
} phial_early_stopping;

/* Names and meanings are those of Hugging Face transformers. "The model's" is what its
 * generation_config.json says, else what switches the option off. Ids outside the vocabulary and
 * values out of range are usage errors that name the option and its range. */
typedef struct phial_generate_options {
  size_t size;
  /* NULL: what phial_model_sampling tells. */
  const phial_sampling* sampling;
  /* Most new tokens; -1: generation_config.json's, else up to the context. */
  int64_t max_new_tokens;
  /* End tokens are ordinary tokens. */
  int32_t ignore_eos;
  /* With one answer and no beams: called with each new token. May be NULL. */
  phial_token_callback on_token;
  void* user; /* handed to the callbacks */
  /* End tokens are impossible before this many new tokens; -1: the model's. */
  int64_t min_new_tokens;
  /* Divides the scores above 0 of tokens that occur in prompt or answer, multiplies those below 0;
   * 0: the model's, 1: off. */
  float repetition_penalty;
  /* Taken off the score of each token that the answer holds, once, and for each time. 0: off. */
  float presence_penalty;
  float frequency_penalty;
  /* No run of so many tokens twice, the prompt's included; -1: the model's, 0: off. */
  int32_t no_repeat_ngram_size;
  /* NULL with a count of 0: the model's. */
  const phial_bias* biases;
  size_t bias_count;
  /* Runs of ids that are never completed. NULL with a count of 0: the model's. */
  const phial_ids* bad_words;
  size_t bad_word_count;
  /* The answer ends with the token that completes one of these, however its characters are spread
   * over tokens; its text ends before it. NULL with a count of 0: the model's. */
  const phial_text* stop_strings;
  size_t stop_string_count;
  /* Beams, 1..256; 0: the model's, 1: no beam search. Under sampling: beam sampling. */
  int32_t num_beams;
  /* Answers, 1..num_beams, or 1..256 drawn ones; 0: the model's. */
  int32_t num_return_sequences;
  /* A finished beam scores sum / new_tokens ^ length_penalty; used when has_length_penalty is 1,
   * else the model's (1). */
  float length_penalty;
  int32_t has_length_penalty;
  phial_early_stopping early_stopping;
  /* For each new token its log-probability and those of the n most likely ones, 0..1024, from the
   * raw logits; -1: none. */
  int32_t logprobs;
  phial_scores_callback on_scores; /* may be NULL */
  /* Lengths that count the prompt; used where max_new_tokens or min_new_tokens is -1. -1: the
   * model's. */
  int64_t max_length;
  int64_t min_length;
  /* Speculation: tokens drafted from what the text so far holds, or by `assistant`, a smaller model
   * of the same vocabulary (NULL: none), are checked several in one pass. The answer stays the
   * same. At most this many at once, 0..7; how many of them pay is found out on the way. -1: 7, 0:
   * none. For one answer of one sequence, without beams. */
  int32_t prompt_lookup_num_tokens;
  phial_model* assistant;
} phial_generate_options;
#define PHIAL_GENERATE_OPTIONS_INIT                                                             \
  {                                                                                             \
    sizeof(phial_generate_options), NULL, -1, 0, NULL, NULL, -1, 0.0f, 0.0f, 0.0f, -1, NULL, 0, \
        NULL, 0, NULL, 0, 0, 0, 0.0f, 0, PHIAL_EARLY_STOPPING_MODEL, -1, NULL, -1, -1, -1, NULL \
  }

typedef struct phial_generate_stats {
  size_t size;
  int64_t prompt_tokens;   /* computed by this call before the first new token */
  int64_t new_tokens;      /* of all answers */
  double prefill_ms;       /* from the call to the first new token */
  double decode_ms;        /* from the first new token to the last */
  int64_t drafted_tokens;  /* by speculation */
  int64_t accepted_tokens; /* of them: those that were right */
} phial_generate_stats;
#define PHIAL_GENERATE_STATS_INIT \
  { sizeof(phial_generate_stats), 0, 0, 0.0, 0.0, 0, 0 }

/* Computes what was appended and goes on token by token. The new ids (the end token included) are
 * in the buffer as int32_t and are part of the sequence. A cancelled generation keeps what it
 * produced and is no error. `finish` and `stats` may be NULL. Of several answers it tells the
 * first, which is the best beam. One thread at a time on a sequence; several sequences may generate
 * on threads of their own, and take turns. */
PHIAL_API phial_error* phial_generate(phial_sequence* sequence,
                                      const phial_generate_options* options, phial_buffer** new_ids,
                                      phial_finish* finish, phial_generate_stats* stats);

/* One answer of phial_generate_outputs; pointers are valid until the outputs are freed. */
typedef struct phial_output {
  size_t size;
  const int32_t* ids; /* new ones, the end token included */
  size_t id_count;
  /* Special tokens left out; ends before a stop string. Empty when the model has no tokenizer. */
  const char* text;
  size_t text_bytes;
  phial_finish finish;
  float score; /* of beams, normalized by length_penalty; else 0 */
} phial_output;
#define PHIAL_OUTPUT_INIT \
  { sizeof(phial_output), NULL, 0, NULL, 0, PHIAL_FINISH_STOP, 0.0f }

typedef struct phial_logprob {
  int32_t id;
  float logprob;
} phial_logprob;

/* As phial_generate, with all answers: best first under beams, else in the order of their random
 * streams (answer i draws with seed + i). The sequence then ends with the first one. Threads: as
 * phial_generate; outputs belong to one thread at a time. */
PHIAL_API phial_error* phial_generate_outputs(phial_sequence* sequence,
                                              const phial_generate_options* options,
                                              phial_outputs** outputs);
/* The same for `count` different sequences of one model together, which is faster than one after
 * the other. Each has its own options (`options` or its entries may be NULL) and gets, bit for bit,
 * what it would get alone; phial_sequence_cancel ends one of them between two steps and leaves the
 * others running. outputs[i] and errors[i] are set for every sequence, one of them to NULL. The
 * returned error is for arguments that make no sense (a sequence twice, or of another model) or no
 * memory; then nothing is set. One thread at a time on all the sequences. */
PHIAL_API phial_error* phial_generate_batch(phial_sequence* const* sequences,
                                            const phial_generate_options* const* options,
                                            size_t count, phial_outputs** outputs,
                                            phial_error** errors);

PHIAL_API size_t phial_outputs_count(const phial_outputs* outputs);
/* Error: usage for an index that is not below the count. */
PHIAL_API phial_error* phial_outputs_get(const phial_outputs* outputs, size_t index,
                                         phial_output* output);
/* Of new token `token` of an answer: its log-probability, and the most likely tokens, best first,
 * in `top`, valid until the outputs are freed. usage unless they were asked for. */
PHIAL_API phial_error* phial_outputs_logprobs(const phial_outputs* outputs, size_t index,
                                              size_t token, phial_logprob* chosen,
                                              const phial_logprob** top, size_t* top_count);
PHIAL_API phial_error* phial_outputs_stats(const phial_outputs* outputs,
                                           phial_generate_stats* stats);
PHIAL_API void phial_outputs_free(phial_outputs* outputs);

/* One step's processors, for callers who run the steps themselves and change options between them:
 * applies the options' biases, penalties, bans and on_scores to the last row of logits, in place,
 * as generate would with the first `prompt_tokens` tokens of the sequence for the prompt; then
 * phial_sequence_sample chooses. Call it once for each compute. Errors: usage when there are no
 * logits or `prompt_tokens` is outside 0..length. Threads: as all functions of a sequence. */
PHIAL_API phial_error* phial_sequence_process_logits(phial_sequence* sequence,
                                                     const phial_generate_options* options,
                                                     int64_t prompt_tokens);

/* ---- Evaluation ------------------------------------------------------------------------------ */

/* Called now and then during long work, in the thread that does it, with how much of it is done.
 * Return 0 to go on, anything else to end it with the error `cancelled`. */
typedef int (*phial_progress_callback)(void* user, int64_t done, int64_t total);

typedef struct phial_perplexity_options {
  size_t size;
  /* Tokens of a window, 2 up to the sequence's context; 0: that, but at most 2048. */
  int64_t context;
  /* Tokens from one window's beginning to the next one's, 1..context; 0: 512, but at most
   * context. */
  int64_t stride;
  phial_progress_callback on_progress; /* tokens scored; may be NULL */
  void* user;
} phial_perplexity_options;
#define PHIAL_PERPLEXITY_OPTIONS_INIT \
  { sizeof(phial_perplexity_options), 0, 0, NULL, NULL }

/* The perplexity of the text that `ids` are, as JSON text: {"perplexity","nll","tokens","windows",
 * "context","stride"}. Sliding windows as in Hugging Face's guide: a window scores the tokens that
 * no window before it held, given those before them in the window; `nll` is the mean over all
 * scored tokens in nats, `perplexity` its exponential. Give the ids of the whole text with the
 * tokenizer's special tokens; windows get none of their own.
 * The sequence is emptied before and after; phial_sequence_cancel ends the work. Errors: usage,
 * over_limit (a window longer than the sequence's context), invalid_input (fewer than two ids, or
 * outside the vocabulary), cancelled. */
PHIAL_API phial_error* phial_perplexity_json(phial_sequence* sequence, const int32_t* ids,
                                             size_t count, const phial_perplexity_options* options,
                                             phial_buffer** json);

typedef struct phial_compare_options {
  size_t size;
  /* Windows as those of phial_perplexity_options; 0: its defaults, in the smaller context. */
  int64_t context;
  int64_t stride;
  /* Greedy continuations by both models, from prompts of at most 64 tokens spread evenly over the
   * text; 0: none; default 4. */
  int64_t continuations;
  /* Tokens of each, at most: it ends where the models part; default 32. */
  int64_t new_tokens;
  phial_progress_callback on_progress; /* tokens scored and continued; may be NULL */
  void* user;
} phial_compare_options;
#define PHIAL_COMPARE_OPTIONS_INIT \
  { sizeof(phial_compare_options), 0, 0, 4, 32, NULL, NULL }

/* How far the model of `b` is from that of `a` on the text that `ids` are, which must be what both
 * tokenizers make of it. As JSON text: {"kl_mean","kl_median","kl_p99","kl_max","kl_max_at",
 * "top1_agreement","decided_gap","decided_tokens","decided_agreement","widest_gap","ppl_a","ppl_b",
 * "nll_a","nll_b","tokens","windows","context","stride","vocabulary",
 * "continuations":[{"begin","prompt_tokens","equal_tokens","a"?,"b"?,"gap"?}],
 * "first_difference":{as those, with "continuation", and "text_a","text_b" where there is a
 * tokenizer}?}.
 * KL(A||B) of a token in nats, in double, over the ids that both models and their tokenizers have
 * (padding rows left out): exactly 0 for the same logits. A token is decided where A's best two
 * logits are more than decided_gap apart; widest_gap is the largest such gap where B's best token
 * is another. Agreements are shares in [0, 1]. A continuation says how many tokens were equal and,
 * unless all were, the ids that came next and how far apart A's logits of the two were.
 * first_difference is the continuation with the fewest equal tokens of those that part.
 * Both sequences are emptied before and after; phial_sequence_cancel on `a` ends the work. Errors:
 * usage (also one sequence for both), over_limit (a window longer than the context of one),
 * invalid_input (fewer than two ids, or outside the vocabulary), failed (logits that are not
 * finite), cancelled. */
PHIAL_API phial_error* phial_compare_json(phial_sequence* a, phial_sequence* b, const int32_t* ids,
                                          size_t count, const phial_compare_options* options,
                                          phial_buffer** json);

/* Quantization and conversion ------------------------------------------------------------------ */

/* Tensors whose name in the output matches `pattern` ('*' any text, '?' any character) are stored
 * in the grid called `grid`: as schemes name them, or a grid of docs/grids.md. */
typedef struct phial_tensor_rule {
  const char* pattern;
  const char* grid;
} phial_tensor_rule;

typedef struct phial_quantize_options {
  size_t size;
  const char* format; /* "gguf", "mlx", "safetensors" or "phial" */
  /* A scheme of the format (docs/quantization.md), such as "q4_k_m" or "4"; NULL: by
   * bits_per_weight, else the format's default; "keep": matrices stay as they are, or become the
   * nearest that the format holds without loss. */
  const char* scheme;
  const char* effort;             /* "fast" or "balanced"; NULL: balanced */
  const char* imatrix;            /* file of llama.cpp's imatrix program; NULL: none */
  const phial_tensor_rule* rules; /* later ones win */
  size_t rule_count;
  double bits_per_weight;              /* a mix of the format's grids of at most so many; 0: no */
  int dry_run;                         /* 1: writes nothing and reports the plan */
  phial_progress_callback on_progress; /* weights done; may be NULL; not 0 stops, nothing is left */
  void* user;
  /* gguf: llama.cpp's name of how the tokenizer cuts text into words (tokenizer.ggml.pre); NULL:
   * found out from the tokenizer. */
  const char* pre_tokenizer;
  /* 1: every matrix gets the grid that the scheme is named after, also those that it stores in
   * another; rules count all the same. Goes without bits_per_weight. */
  int pure;
} phial_quantize_options;
#define PHIAL_QUANTIZE_OPTIONS_INIT \
  { sizeof(phial_quantize_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, 0 }

/* Writes the model at `source` (a path or short name) to `output` in another format or grid: a file
 * for gguf, else a folder. Nothing is there under that name before it is whole; a file is replaced,
 * a folder that is not empty is not. Bytes do not depend on threads or instruction set. `json`
 * receives the report: {"format","scheme","effort","bytes","bits_per_weight","seconds",
 * "source_bytes","exact","peak_anonymous_bytes","tensors":[...],...}; of a dry run the plan:
 * {"format","scheme","effort","dry_run","bytes","bits_per_weight","source_bytes",
 * "anonymous_bytes","weights","tensors":[{"name","source_grid","grid","rows","columns","bytes",
 * "transfer"}]}. Errors: those of loading; usage (an unknown format, scheme or grid; a group size
 * that does not divide; the output is the source), unsupported, invalid_input (an imatrix of
 * another model), damaged (NaN or infinity in weights), io_error, over_limit (max_memory),
 * cancelled. */
PHIAL_API phial_error* phial_quantize_json(phial_context* context, const char* source,
                                           const char* output,
                                           const phial_quantize_options* options,
                                           phial_buffer** json);

/* The schemes that there are, as JSON: [{"format","name","summary"}], defaults first. */
PHIAL_API phial_error* phial_schemes_json(phial_buffer** json);

/* A self-contained SVG of the report that a quantization gives, or of a JSON array of such: the
 * error of each layer's tensors in the first; size against mean KL for all that have a member
 * "quality", which is what phial_compare_json gives of source and output. A member "name" stands
 * beside a report's point, else its scheme. Errors: damaged (no JSON), invalid_input (no report).
 */
PHIAL_API phial_error* phial_quantization_svg(const char* reports_json, size_t reports_bytes,
                                              phial_buffer** svg);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* PHIAL_PHIAL_H_ */
