// Test help: what a C call gave, checked and freed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "phial/phial.h"

namespace phial::capi {

// The code of an error, which is freed; "ok" for none.
inline std::string code_of(phial_error* error) {
  const std::string code = error == nullptr ? "ok" : phial_error_code(error);
  phial_error_free(error);
  return code;
}

// The test cannot go on after an error here.
inline void must_succeed(phial_error* error) {
  if (error == nullptr) return;
  const std::string text = phial_error_text(error);
  phial_error_free(error);
  throw std::runtime_error(text);
}

inline std::string take_text(phial_buffer* buffer) {
  const auto* data = static_cast<const char*>(phial_buffer_data(buffer));
  std::string text(data, phial_buffer_bytes(buffer));
  EXPECT_EQ(data[text.size()], '\0');
  phial_buffer_free(buffer);
  return text;
}

inline std::vector<int32_t> take_ids(phial_buffer* buffer) {
  const auto* data = static_cast<const int32_t*>(phial_buffer_data(buffer));
  std::vector<int32_t> ids(data, data + phial_buffer_bytes(buffer) / sizeof(int32_t));
  phial_buffer_free(buffer);
  return ids;
}

template <class T, void (*Free)(T*)>
struct Freeing {
  void operator()(T* object) const { Free(object); }
};
using ContextPtr = std::unique_ptr<phial_context, Freeing<phial_context, phial_context_free>>;
using ModelPtr = std::unique_ptr<phial_model, Freeing<phial_model, phial_model_free>>;
using SequencePtr = std::unique_ptr<phial_sequence, Freeing<phial_sequence, phial_sequence_free>>;

inline ContextPtr make_context() {
  phial_context_options options = PHIAL_CONTEXT_OPTIONS_INIT;
  options.threads = 2;
  phial_context* context = nullptr;
  must_succeed(phial_context_create(&options, &context));
  return ContextPtr(context);
}

inline std::string golden_path(const std::string& name) {
  return std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/" + name;
}

inline ModelPtr load_golden_model(const ContextPtr& context, const std::string& name,
                                  phial_load load = PHIAL_LOAD_ALL) {
  phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
  options.load = load;
  options.compute = "fp32";  // what goldens were computed in
  phial_model* model = nullptr;
  must_succeed(phial_model_load(context.get(), golden_path(name).c_str(), &options, &model));
  return ModelPtr(model);
}

inline SequencePtr make_sequence(const ModelPtr& model) {
  phial_sequence* sequence = nullptr;
  must_succeed(phial_sequence_create(model.get(), nullptr, &sequence));
  return SequencePtr(sequence);
}

}  // namespace phial::capi
