#include "capi/guard.h"

#include <cstring>
#include <string>

namespace phial::capi {
namespace {

// Leaves room for a program's name below the limit of one message.
constexpr size_t kMaxLine = kMaxErrorText - 10;

}  // namespace

phial_error* static_out_of_memory() noexcept {
  // Texts this short need no memory of their own.
  static phial_error error{{ErrorCode::out_of_memory, "out of memory", "", ""}, "out of memory"};
  return &error;
}

phial_error* make_c_error(Error error) noexcept {
  try {
    std::string text = printable(error.to_string(), kMaxLine);
    return new phial_error{std::move(error), std::move(text)};
  } catch (...) {
    return static_out_of_memory();
  }
}

phial_error* internal_c_error(const char* function, const char* what) noexcept {
  try {
    return make_c_error(internal_error(function, what, "please report it"));
  } catch (...) {
    return static_out_of_memory();
  }
}

phial_buffer* text_buffer(std::string_view text) {
  auto buffer = std::make_unique<phial_buffer>();
  buffer->words.resize(text.size() / sizeof(int32_t) + 1);  // zeros, one byte more at least
  if (!text.empty()) std::memcpy(buffer->words.data(), text.data(), text.size());
  buffer->bytes = text.size();
  return buffer.release();
}

phial_buffer* ids_buffer(std::span<const int32_t> ids) {
  auto buffer = std::make_unique<phial_buffer>();
  buffer->words.reserve(ids.size() + 1);
  buffer->words.assign(ids.begin(), ids.end());
  buffer->words.push_back(0);
  buffer->bytes = ids.size_bytes();
  return buffer.release();
}

Status require(const void* pointer, const char* function, const char* parameter) {
  if (pointer == nullptr) return usage_error(function, std::string(parameter) + " is NULL");
  return {};
}

Result<std::string_view> text_of(const char* text, size_t bytes, const char* function,
                                 const char* parameter) {
  if (bytes == 0) return std::string_view();
  PHIAL_TRY(require(text, function, parameter));
  return std::string_view(text, bytes);
}

Result<std::span<const int32_t>> ids_of(const int32_t* ids, size_t count, const char* function,
                                        const char* parameter) {
  if (count == 0) return std::span<const int32_t>();
  PHIAL_TRY(require(ids, function, parameter));
  if (count > SIZE_MAX / sizeof(int32_t)) {
    return usage_error(function, "more ids than memory can hold");
  }
  return std::span<const int32_t>(ids, count);
}

}  // namespace phial::capi
