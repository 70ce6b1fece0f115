#include "text/charsmap.h"

#include <utf8proc.h>

#include "base/byte_reader.h"
#include "base/utf8.h"

namespace phial {
namespace {

// Bytes of the extended grapheme cluster that begins `text`.
size_t grapheme_bytes(std::string_view text) {
  utf8proc_int32_t state = 0;
  utf8::Decoded c = utf8::decode(text);
  size_t at = c.length;
  while (at < text.size()) {
    const utf8::Decoded next = utf8::decode(text.substr(at));
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state)) {
      break;
    }
    at += next.length;
    c = next;
  }
  return at;
}

}  // namespace

Result<Charsmap> Charsmap::create(std::string_view bytes, std::string_view where) {
  ByteReader reader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, where);
  PHIAL_ASSIGN(const uint32_t trie_bytes, reader.read<uint32_t>("the length of the trie"));
  Charsmap map;
  PHIAL_ASSIGN(const auto units, reader.read_bytes(trie_bytes / 4 * 4, "the trie"));
  map.units_.resize(units.size() / 4);
  if (!units.empty()) std::memcpy(map.units_.data(), units.data(), units.size());
  map.replacements_ = bytes.substr(reader.position());
  if (utf8::find_invalid(map.replacements_)) {
    return damaged(where, "the replacements are not UTF-8");
  }
  for (size_t c = 0; c < map.stays_.size(); ++c) {
    const char byte = static_cast<char>(c);
    map.stays_[c] = !map.find(std::string_view(&byte, 1));
  }
  return map;
}

std::optional<std::string_view> Charsmap::find(std::string_view text) const {
  const auto unit = [this](size_t at) { return at < units_.size() ? units_[at] : 0; };
  const auto offset = [](uint32_t u) { return size_t{u >> 10} << (u >> 9 & 1 ? 8 : 0); };
  size_t at = offset(unit(0));
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) break;
    at ^= byte;
    const uint32_t node = unit(at);
    if ((node & 0x800000FFu) != byte) break;
    at ^= offset(node);
    if ((node >> 8 & 1) == 0) continue;
    const size_t begin = unit(at) & 0x7FFFFFFFu;
    if (begin > replacements_.size() || utf8::floor_boundary(replacements_, begin) != begin) break;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

Status Charsmap::apply(std::string_view text, size_t max_bytes, std::string& out) const {
  const auto is_ascii = [text](size_t at) {
    return at >= text.size() || static_cast<unsigned char>(text[at]) < 128;
  };
  for (size_t at = 0; at < text.size();) {
    // Between ASCII characters lies an end of a grapheme, but for CR LF.
    if (is_ascii(at) && is_ascii(at + 1) && text[at] != '\r' &&
        stays_[static_cast<unsigned char>(text[at])]) {
      out += text[at++];
      continue;
    }
    const std::string_view grapheme = text.substr(at, grapheme_bytes(text.substr(at)));
    at += grapheme.size();
    std::optional<std::string_view> replacement;
    if (grapheme.size() < 6) replacement = find(grapheme);
    if (replacement) {
      out += *replacement;
    } else {
      for (size_t in = 0; in < grapheme.size();) {
        const std::string_view c = grapheme.substr(in, utf8::decode(grapheme.substr(in)).length);
        out += find(c).value_or(c);
        in += c.size();
      }
    }
    if (out.size() > max_bytes) return over_limit("text", "the character map makes too much of it");
  }
  return {};
}

}  // namespace phial
