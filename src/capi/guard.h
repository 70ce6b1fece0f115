// The edge of the C interface: errors and results become C objects here, and no exception passes.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "phial/phial.h"

struct phial_error {
  phial::Error error;
  std::string text;  // "where: message (hint)"
};

// Words, not bytes, so that arrays of int32_t are aligned; texts are copied into them.
struct phial_buffer {
  std::vector<int32_t> words;
  size_t bytes = 0;
};

namespace phial::capi {

// The error that stands for "no memory for an error"; never freed.
phial_error* static_out_of_memory() noexcept;

// Never null; static_out_of_memory() when there is no memory to tell more.
phial_error* make_c_error(Error error) noexcept;
phial_error* internal_c_error(const char* function, const char* what) noexcept;

// Runs `body`, a callable that returns Status, for the function named `function`.
template <class Body>
phial_error* guarded(const char* function, Body&& body) noexcept {
  try {
    Status status = body();
    if (status.ok()) return nullptr;
    return make_c_error(std::move(status).error());
  } catch (const std::bad_alloc&) {
    return static_out_of_memory();
  } catch (const std::exception& e) {
    return internal_c_error(function, e.what());
  } catch (...) {
    return internal_c_error(function, "unknown exception");
  }
}

phial_buffer* text_buffer(std::string_view text);
phial_buffer* ids_buffer(std::span<const int32_t> ids);

// usage when `pointer` is null.
Status require(const void* pointer, const char* function, const char* parameter);

// A text parameter: null with a length of 0 is empty, null with another length is usage.
Result<std::string_view> text_of(const char* text, size_t bytes, const char* function,
                                 const char* parameter);
Result<std::span<const int32_t>> ids_of(const int32_t* ids, size_t count, const char* function,
                                        const char* parameter);

}  // namespace phial::capi
