// Status and Result: how everything fallible in phial answers.
//
// A Status is one pointer: null means ok. An error carries a code from a fixed list, a one-line
// message (what was expected, what was found), where it happened (file, field, offset) and a hint
// (what to do about it). Texts may come from hostile files: they are made printable and cut to
// length when the error is made, so that no later code has to care.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace phial {

// The fixed list of error codes. The names (error_info().name) are part of the public promise:
// add to them, never rename. Each maps to one exit code of the command.
enum class ErrorCode : uint8_t {
  failed,          // the operation failed while running
  io_error,        // the operating system refused a read or a write
  template_error,  // a chat template raised an error of its own
  internal,        // a defect in phial
  usage,           // the call or command line makes no sense
  not_found,       // a file, folder or name does not exist
  damaged,         // a file is cut short, corrupt or contradicts itself
  invalid_input,   // text, ids or JSON given by the caller are not valid
  unsupported,     // valid, but phial does not support it
  unavailable,     // known to phial, but this machine or build lacks it
  out_of_memory,   // not enough memory
  over_limit,      // a size, count or budget is over its limit
  context_full,    // the tokens do not fit the context
  cancelled,       // stopped at the caller's request
};

struct ErrorInfo {
  ErrorCode code;
  const char* name;     // as in the error list of `phial help errors`
  int exit_code;        // of the command
  const char* meaning;  // one sentence
};

// All codes, in the order of the enum.
std::span<const ErrorInfo> error_table();
const ErrorInfo& error_info(ErrorCode code);

// Longest message, where and hint, in bytes. Longer texts are cut in the middle.
inline constexpr size_t kMaxErrorText = 600;

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string where;
  std::string hint;

  // "where: message (hint)" on one line of at most kMaxErrorText bytes; empty parts are left out.
  std::string to_string() const;
};

// Makes an error whose texts hold no control characters and only valid UTF-8.
Error make_error(ErrorCode code, std::string_view where, std::string_view message,
                 std::string_view hint = {});

// Escapes control characters (\n, \x1b ...) and bytes that are not UTF-8; cuts the middle out of
// texts longer than `max_bytes`. REQUIRES: max_bytes >= 16
std::string printable(std::string_view text, size_t max_bytes = kMaxErrorText);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Error error) : error_(std::make_unique<Error>(std::move(error))) {}

  bool ok() const { return error_ == nullptr; }
  explicit operator bool() const { return ok(); }
  // REQUIRES: !ok()
  const Error& error() const& {
    assert(error_);
    return *error_;
  }
  Error&& error() && {
    assert(error_);
    return std::move(*error_);
  }

 private:
  std::unique_ptr<Error> error_;
};

// A value or an error. Move-only values are fine.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::make_unique<Error>(std::move(error))) {}
  // REQUIRES: !status.ok()
  Result(Status status) : Result(std::move(status).error()) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  // By value, so that `for (auto& x : *list())` holds what it walks over.
  T value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok()
  const Error& error() const& { return **std::get_if<1>(&state_); }
  Error&& error() && { return std::move(**std::get_if<1>(&state_)); }

 private:
  std::variant<T, std::unique_ptr<Error>> state_;
};

// Named constructors: `return damaged("config.json: hidden_size", "expected an integer, got
// null");`
Error failed(std::string_view where, std::string_view message, std::string_view hint = {});
Error io_error(std::string_view where, std::string_view message, std::string_view hint = {});
Error template_error(std::string_view where, std::string_view message, std::string_view hint = {});
Error internal_error(std::string_view where, std::string_view message, std::string_view hint = {});
Error usage_error(std::string_view where, std::string_view message, std::string_view hint = {});
Error not_found(std::string_view where, std::string_view message, std::string_view hint = {});
Error damaged(std::string_view where, std::string_view message, std::string_view hint = {});
Error invalid_input(std::string_view where, std::string_view message, std::string_view hint = {});
Error unsupported(std::string_view where, std::string_view message, std::string_view hint = {});
Error unavailable(std::string_view where, std::string_view message, std::string_view hint = {});
Error out_of_memory(std::string_view where, std::string_view message, std::string_view hint = {});
Error over_limit(std::string_view where, std::string_view message, std::string_view hint = {});
Error context_full(std::string_view where, std::string_view message, std::string_view hint = {});
Error cancelled(std::string_view where);

#define PHIAL_CONCAT_(a, b) a##b
#define PHIAL_CONCAT(a, b) PHIAL_CONCAT_(a, b)

// Returns from the enclosing function when `expr` (a Status) is an error.
#define PHIAL_TRY(expr)                                                \
  do {                                                                 \
    if (::phial::Status phial_status_ = (expr); !phial_status_.ok()) { \
      return std::move(phial_status_).error();                         \
    }                                                                  \
  } while (false)

// Assigns the value of `expr` (a Result) to `lhs`, or returns its error.
#define PHIAL_ASSIGN(lhs, expr) PHIAL_ASSIGN_(PHIAL_CONCAT(phial_result_, __LINE__), lhs, expr)
#define PHIAL_ASSIGN_(tmp, lhs, expr)           \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  lhs = std::move(tmp).value()

}  // namespace phial
