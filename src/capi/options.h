// Option structs of callers that were built against another version of phial.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "base/status.h"
#include "phial/phial.h"

namespace phial::capi {

// Where the fields of a struct end, in order: a smaller caller's struct is copied up to the last
// field that it holds whole.
template <class T>
struct FieldEnds;

#define PHIAL_FIELD_END(type, field) (offsetof(type, field) + sizeof(type::field))

template <>
struct FieldEnds<phial_context_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_context_options, size),
                                     PHIAL_FIELD_END(phial_context_options, threads),
                                     PHIAL_FIELD_END(phial_context_options, isa),
                                     PHIAL_FIELD_END(phial_context_options, max_memory)};
};
template <>
struct FieldEnds<phial_model_options> {
  static constexpr size_t kEnds[] = {
      PHIAL_FIELD_END(phial_model_options, size), PHIAL_FIELD_END(phial_model_options, load),
      PHIAL_FIELD_END(phial_model_options, compute), PHIAL_FIELD_END(phial_model_options, kv)};
};
template <>
struct FieldEnds<phial_bench_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_bench_options, size),
                                     PHIAL_FIELD_END(phial_bench_options, what),
                                     PHIAL_FIELD_END(phial_bench_options, rounds),
                                     PHIAL_FIELD_END(phial_bench_options, text_bytes),
                                     PHIAL_FIELD_END(phial_bench_options, path),
                                     PHIAL_FIELD_END(phial_bench_options, synthetic),
                                     PHIAL_FIELD_END(phial_bench_options, layers),
                                     PHIAL_FIELD_END(phial_bench_options, compute),
                                     PHIAL_FIELD_END(phial_bench_options, kv),
                                     PHIAL_FIELD_END(phial_bench_options, prompt_count),
                                     PHIAL_FIELD_END(phial_bench_options, depth_count),
                                     PHIAL_FIELD_END(phial_bench_options, batch_count),
                                     PHIAL_FIELD_END(phial_bench_options, floors_bytes),
                                     PHIAL_FIELD_END(phial_bench_options, on_progress),
                                     PHIAL_FIELD_END(phial_bench_options, user)};
};
template <>
struct FieldEnds<phial_template_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_template_options, size),
                                     PHIAL_FIELD_END(phial_template_options, template_bytes),
                                     PHIAL_FIELD_END(phial_template_options, tools_bytes),
                                     PHIAL_FIELD_END(phial_template_options, variables_bytes),
                                     PHIAL_FIELD_END(phial_template_options, add_generation_prompt),
                                     PHIAL_FIELD_END(phial_template_options, template_name)};
};
template <>
struct FieldEnds<phial_sequence_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_sequence_options, size),
                                     PHIAL_FIELD_END(phial_sequence_options, context)};
};
template <>
struct FieldEnds<phial_sampling> {
  static constexpr size_t kEnds[] = {
      PHIAL_FIELD_END(phial_sampling, size),        PHIAL_FIELD_END(phial_sampling, do_sample),
      PHIAL_FIELD_END(phial_sampling, temperature), PHIAL_FIELD_END(phial_sampling, top_k),
      PHIAL_FIELD_END(phial_sampling, top_p),       PHIAL_FIELD_END(phial_sampling, seed),
      PHIAL_FIELD_END(phial_sampling, has_seed),    PHIAL_FIELD_END(phial_sampling, min_p),
      PHIAL_FIELD_END(phial_sampling, typical_p)};
};
template <>
struct FieldEnds<phial_generate_options> {
  static constexpr size_t kEnds[] = {
      PHIAL_FIELD_END(phial_generate_options, size),
      PHIAL_FIELD_END(phial_generate_options, sampling),
      PHIAL_FIELD_END(phial_generate_options, max_new_tokens),
      PHIAL_FIELD_END(phial_generate_options, ignore_eos),
      PHIAL_FIELD_END(phial_generate_options, on_token),
      PHIAL_FIELD_END(phial_generate_options, user),
      PHIAL_FIELD_END(phial_generate_options, min_new_tokens),
      PHIAL_FIELD_END(phial_generate_options, repetition_penalty),
      PHIAL_FIELD_END(phial_generate_options, presence_penalty),
      PHIAL_FIELD_END(phial_generate_options, frequency_penalty),
      PHIAL_FIELD_END(phial_generate_options, no_repeat_ngram_size),
      PHIAL_FIELD_END(phial_generate_options, biases),
      PHIAL_FIELD_END(phial_generate_options, bias_count),
      PHIAL_FIELD_END(phial_generate_options, bad_words),
      PHIAL_FIELD_END(phial_generate_options, bad_word_count),
      PHIAL_FIELD_END(phial_generate_options, stop_strings),
      PHIAL_FIELD_END(phial_generate_options, stop_string_count),
      PHIAL_FIELD_END(phial_generate_options, num_beams),
      PHIAL_FIELD_END(phial_generate_options, num_return_sequences),
      PHIAL_FIELD_END(phial_generate_options, length_penalty),
      PHIAL_FIELD_END(phial_generate_options, has_length_penalty),
      PHIAL_FIELD_END(phial_generate_options, early_stopping),
      PHIAL_FIELD_END(phial_generate_options, logprobs),
      PHIAL_FIELD_END(phial_generate_options, on_scores),
      PHIAL_FIELD_END(phial_generate_options, max_length),
      PHIAL_FIELD_END(phial_generate_options, min_length),
      PHIAL_FIELD_END(phial_generate_options, prompt_lookup_num_tokens),
      PHIAL_FIELD_END(phial_generate_options, assistant)};
};
template <>
struct FieldEnds<phial_generate_stats> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_generate_stats, size),
                                     PHIAL_FIELD_END(phial_generate_stats, prompt_tokens),
                                     PHIAL_FIELD_END(phial_generate_stats, new_tokens),
                                     PHIAL_FIELD_END(phial_generate_stats, prefill_ms),
                                     PHIAL_FIELD_END(phial_generate_stats, decode_ms),
                                     PHIAL_FIELD_END(phial_generate_stats, drafted_tokens),
                                     PHIAL_FIELD_END(phial_generate_stats, accepted_tokens)};
};

template <>
struct FieldEnds<phial_output> {
  static constexpr size_t kEnds[] = {
      PHIAL_FIELD_END(phial_output, size),       PHIAL_FIELD_END(phial_output, ids),
      PHIAL_FIELD_END(phial_output, id_count),   PHIAL_FIELD_END(phial_output, text),
      PHIAL_FIELD_END(phial_output, text_bytes), PHIAL_FIELD_END(phial_output, finish),
      PHIAL_FIELD_END(phial_output, score)};
};

// Larger structs are taken for a `size` that was never set.
inline constexpr size_t kMaxStructBytes = 4096;

// How many bytes of `T` a struct of `size` bytes shares with this library. usage when `size` cannot
// be right, or when a newer caller set something (a byte that is not zero) that is not known here.
template <class T>
Result<size_t> shared_bytes(const T* given, const char* function) {
  size_t size;
  std::memcpy(&size, given, sizeof(size));
  if (size < sizeof(size_t) || size > kMaxStructBytes) {
    return usage_error(function, "the struct's size is " + std::to_string(size),
                       "set it to sizeof the struct; the _INIT macros do");
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t at = sizeof(T); at < size; ++at) {
    if (bytes[at] != 0) {
      return usage_error(function, "an option is set that this version of the library lacks",
                         "the program was built for a newer version");
    }
  }
  size_t shared = 0;
  for (const size_t end : FieldEnds<T>::kEnds) {
    if (end <= size) shared = end;
  }
  return shared;
}

// The caller's options over `defaults`; `given` may be null.
template <class T>
Result<T> read_options(const T* given, const T& defaults, const char* function) {
  T options = defaults;
  if (given == nullptr) return options;
  PHIAL_ASSIGN(const size_t shared, shared_bytes(given, function));
  std::memcpy(&options, given, shared);
  options.size = sizeof(T);
  return options;
}

// Writes `value` into the caller's struct, as far as the caller knows it; its size stays.
template <class T>
Status write_struct(const T& value, T* out, const char* function) {
  PHIAL_ASSIGN(const size_t shared, shared_bytes(out, function));
  std::memcpy(reinterpret_cast<unsigned char*>(out) + sizeof(size_t),
              reinterpret_cast<const unsigned char*>(&value) + sizeof(size_t),
              shared - sizeof(size_t));
  return {};
}

}  // namespace phial::capi
