// Errors, buffers and what stands alone.
#include <array>
#include <cstring>
#include <string>

#include "base/npy.h"
#include "base/utf8.h"
#include "capi/guard.h"
#include "eval/reports.h"

using namespace phial;
using namespace phial::capi;

namespace {

std::string_view or_empty(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

ErrorCode code_named(std::string_view name) {
  for (const ErrorInfo& info : error_table()) {
    if (name == info.name) return info.code;
  }
  return ErrorCode::internal;
}

}  // namespace

const char* phial_version(void) { return PHIAL_VERSION; }

const char* phial_error_code(const phial_error* error) {
  return error == nullptr ? "" : error_info(error->error.code).name;
}
int phial_error_exit_code(const phial_error* error) {
  return error == nullptr ? 0 : error_info(error->error.code).exit_code;
}
const char* phial_error_message(const phial_error* error) {
  return error == nullptr ? "" : error->error.message.c_str();
}
const char* phial_error_where(const phial_error* error) {
  return error == nullptr ? "" : error->error.where.c_str();
}
const char* phial_error_hint(const phial_error* error) {
  return error == nullptr ? "" : error->error.hint.c_str();
}
const char* phial_error_text(const phial_error* error) {
  return error == nullptr ? "" : error->text.c_str();
}

phial_error* phial_error_create(const char* code, const char* where, const char* message,
                                const char* hint) {
  return guarded("phial_error_create", [&]() -> Status {
    return make_error(code_named(or_empty(code)), or_empty(where), or_empty(message),
                      or_empty(hint));
  });
}

void phial_error_free(phial_error* error) {
  if (error != static_out_of_memory()) delete error;
}

const void* phial_buffer_data(const phial_buffer* buffer) {
  return buffer == nullptr ? "" : static_cast<const void*>(buffer->words.data());
}
size_t phial_buffer_bytes(const phial_buffer* buffer) {
  return buffer == nullptr ? 0 : buffer->bytes;
}
void phial_buffer_free(phial_buffer* buffer) { delete buffer; }

phial_error* phial_errors_json(phial_buffer** json) {
  return guarded("phial_errors_json", [&]() -> Status {
    PHIAL_TRY(require(json, "phial_errors_json", "json"));
    *json = text_buffer(to_text(error_list()));
    return {};
  });
}

phial_error* phial_text_check(const char* text, size_t text_bytes, const char* where) {
  return guarded("phial_text_check", [&]() -> Status {
    PHIAL_ASSIGN(const std::string_view checked,
                 text_of(text, text_bytes, "phial_text_check", "text"));
    if (const auto at = utf8::find_invalid(checked)) {
      return invalid_input(or_empty(where), "not valid UTF-8 at byte " + std::to_string(*at));
    }
    return {};
  });
}

phial_error* phial_npy_header(uint64_t rows, uint64_t columns, phial_buffer** header) {
  return guarded("phial_npy_header", [&]() -> Status {
    PHIAL_TRY(require(header, "phial_npy_header", "header"));
    *header = text_buffer(npy_header(std::array<uint64_t, 2>{rows, columns}));
    return {};
  });
}
