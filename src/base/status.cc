#include "base/status.h"

#include <array>

#include "base/utf8.h"

namespace phial {
namespace {

constexpr std::array<ErrorInfo, 14> kErrors = {{
    {ErrorCode::failed, "failed", 1, "The operation failed while running."},
    {ErrorCode::io_error, "io_error", 1, "The system refused a read or a write."},
    {ErrorCode::template_error, "template_error", 1, "The chat template raised an error."},
    {ErrorCode::internal, "internal", 1, "A defect in phial; please report it."},
    {ErrorCode::usage, "usage", 2, "The command line or the call makes no sense."},
    {ErrorCode::not_found, "not_found", 3, "A file, folder or model name does not exist."},
    {ErrorCode::damaged, "damaged", 3, "A file is cut short, corrupt or contradicts itself."},
    {ErrorCode::invalid_input, "invalid_input", 3, "Text, ids or JSON given are not valid."},
    {ErrorCode::unsupported, "unsupported", 4, "Valid, but phial does not support it."},
    {ErrorCode::unavailable, "unavailable", 4, "Known, but this machine or build lacks it."},
    {ErrorCode::out_of_memory, "out_of_memory", 5, "Not enough memory."},
    {ErrorCode::over_limit, "over_limit", 5, "A size, count or budget is over its limit."},
    {ErrorCode::context_full, "context_full", 6, "The tokens do not fit the context."},
    {ErrorCode::cancelled, "cancelled", 130, "Stopped at the caller's request."},
}};

void append_escaped(std::string& out, unsigned char byte) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (byte == '\n') {
    out += "\\n";
  } else if (byte == '\t') {
    out += "\\t";
  } else if (byte == '\r') {
    out += "\\r";
  } else {
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

// Control characters: C0, DEL, C1, the line and paragraph separators; the marks and overrides of
// writing direction (UAX 9), which can make a terminal show another text than the one written; and
// what shows nothing at all, the byte order mark and the tag characters.
bool is_unprintable(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF ||
         (c >= 0xE0000 && c <= 0xE007F);
}

}  // namespace

std::span<const ErrorInfo> error_table() { return kErrors; }

const ErrorInfo& error_info(ErrorCode code) { return kErrors[static_cast<size_t>(code)]; }

std::string printable(std::string_view text, size_t max_bytes) {
  // Cut first: what is escaped afterwards is bounded, whatever the size of the input.
  const bool cut = text.size() > max_bytes;
  std::string out;
  const auto append = [&out](std::string_view part) {
    size_t at = 0;
    while (at < part.size()) {
      const utf8::Decoded c = utf8::decode(part.substr(at));
      if (!c.valid || is_unprintable(c.code_point)) {
        for (size_t i = 0; i < c.length; ++i) {
          append_escaped(out, static_cast<unsigned char>(part[at + i]));
        }
      } else {
        out.append(part.substr(at, c.length));
      }
      at += c.length;
    }
  };
  if (!cut) {
    append(text);
  } else {
    append(text.substr(0, utf8::floor_boundary(text, max_bytes / 2)));
    out += " ... ";
    append(text.substr(utf8::floor_boundary(text, text.size() - max_bytes / 4)));
  }
  if (out.size() > max_bytes) {
    out.resize(utf8::floor_boundary(out, max_bytes - 4));
    out += " ...";
  }
  return out;
}

Error make_error(ErrorCode code, std::string_view where, std::string_view message,
                 std::string_view hint) {
  return {code, printable(message), printable(where, kMaxErrorText / 2), printable(hint)};
}

std::string Error::to_string() const {
  std::string text;
  if (!where.empty()) text += where + ": ";
  text += message;
  if (!hint.empty()) text += " (" + hint + ")";
  return printable(text);
}

Error failed(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::failed, where, message, hint);
}
Error io_error(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::io_error, where, message, hint);
}
Error template_error(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::template_error, where, message, hint);
}
Error internal_error(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::internal, where, message, hint);
}
Error usage_error(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::usage, where, message, hint);
}
Error not_found(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::not_found, where, message, hint);
}
Error damaged(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::damaged, where, message, hint);
}
Error invalid_input(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::invalid_input, where, message, hint);
}
Error unsupported(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::unsupported, where, message, hint);
}
Error unavailable(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::unavailable, where, message, hint);
}
Error out_of_memory(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::out_of_memory, where, message, hint);
}
Error over_limit(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::over_limit, where, message, hint);
}
Error context_full(std::string_view where, std::string_view message, std::string_view hint) {
  return make_error(ErrorCode::context_full, where, message, hint);
}
Error cancelled(std::string_view where) {
  return make_error(ErrorCode::cancelled, where, "stopped on request");
}

}  // namespace phial
