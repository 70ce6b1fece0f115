#include "text/normal_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/utf8.h"
#include "text/unicode.h"

namespace phial {
namespace {

using Form = normalizer::Unicode::Form;

utf8proc_option_t options_of(Form form) {
  int options = UTF8PROC_STABLE;
  options |= form == Form::nfc || form == Form::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == Form::nfkc || form == Form::nfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

Status append_segment(std::string_view text, Form form, std::string& out) {
  if (text.empty()) return {};
  utf8proc_uint8_t* made = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &made, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(made, std::free);
  if (size < 0) {
    return make_error(size == UTF8PROC_ERROR_NOMEM ? ErrorCode::out_of_memory : ErrorCode::internal,
                      "text: normal form", utf8proc_errmsg(size));
  }
  out.append(reinterpret_cast<const char*>(made), static_cast<size_t>(size));
  return {};
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 128; }

}  // namespace

// ASCII characters neither change nor join what stands before them, and characters that the tables
// do not know neither change nor join anything: the text is cut before the ones and around the
// others.
Status append_normal_form(std::string_view text, Form form, std::string& out) {
  out.reserve(out.size() + text.size());
  for (size_t at = 0; at < text.size();) {
    const auto wide =
        std::find_if_not(text.begin() + static_cast<ptrdiff_t>(at), text.end(), is_ascii);
    const auto wide_at = static_cast<size_t>(wide - text.begin());
    if (wide_at == text.size()) {
      out += text.substr(at);
      break;
    }
    // The last ASCII character may join the marks behind it.
    size_t begin = wide_at > at ? wide_at - 1 : wide_at;
    out += text.substr(at, begin - at);
    size_t end = wide_at;
    while (end < text.size() && !is_ascii(text[end])) {
      const utf8::Decoded c = utf8::decode(text.substr(end));
      if (unicode::is_new_to_normal_forms(c.code_point)) {
        PHIAL_TRY(append_segment(text.substr(begin, end - begin), form, out));
        out += text.substr(end, c.length);
        begin = end + c.length;
      }
      end += c.length;
    }
    PHIAL_TRY(append_segment(text.substr(begin, end - begin), form, out));
    at = end;
  }
  return {};
}

}  // namespace phial
