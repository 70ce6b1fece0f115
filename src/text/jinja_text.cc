// Values as text: str(), repr(), json.dumps() and HTML escapes.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

void append_hex(std::string& out, char32_t code, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[(code >> shift) & 15];
  }
}

// A character by its number.
void append_escape(std::string& out, char32_t code) {
  if (code < 0x100) {
    append_hex(out += "\\x", code, 2);
  } else if (code < 0x10000) {
    append_hex(out += "\\u", code, 4);
  } else {
    append_hex(out += "\\U", code, 8);
  }
}

// One character as repr() shows it between quotes.
void append_repr(std::string& out, std::string_view character, char32_t code, char quote) {
  if (code == static_cast<unsigned char>(quote) || code == '\\') {
    out += '\\';
    out += character;
  } else if (code == '\n' || code == '\r' || code == '\t') {
    out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
  } else if (is_printable(code)) {
    out += character;
  } else {
    append_escape(out, code);
  }
}

Status write_string_repr(Runtime& rt, Builder& out, std::string_view text) {
  PHIAL_TRY(rt.step_for_characters(text.size()));
  // Double quotes only where they save escapes.
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  PHIAL_TRY(out.add(1, quote));
  std::string part;
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    part.clear();
    append_repr(part, text.substr(at, c.length), c.code_point, quote);
    PHIAL_TRY(out.add(part));
    at += c.length;
  }
  return out.add(1, quote);
}

Status write_list_repr(Runtime& rt, Builder& out, const ListData& list, int depth) {
  PHIAL_TRY(out.add(list.tuple ? "(" : "["));
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) PHIAL_TRY(out.add(", "));
    PHIAL_TRY(write_repr(rt, out, list.items[i], depth + 1));
  }
  if (list.tuple && list.items.size() == 1) PHIAL_TRY(out.add(","));
  return out.add(list.tuple ? ")" : "]");
}

Status write_dict_repr(Runtime& rt, Builder& out, const DictData& dict, int depth) {
  PHIAL_TRY(out.add("{"));
  bool first = true;
  for (const auto& [key, value] : dict.members) {
    if (!first) PHIAL_TRY(out.add(", "));
    first = false;
    PHIAL_TRY(write_repr(rt, out, key, depth + 1));
    PHIAL_TRY(out.add(": "));
    PHIAL_TRY(write_repr(rt, out, value, depth + 1));
  }
  return out.add("}");
}

class JsonWriter {
 public:
  JsonWriter(Runtime& rt, Builder& out, const JsonStyle& style)
      : rt_(rt), out_(out), style_(style) {}

  Status write(const Value& value, int level) {
    PHIAL_TRY(rt_.step());
    switch (value.kind()) {
      case Value::Kind::none:
        return out_.add("null");
      case Value::Kind::boolean:
        return out_.add(*value.if_bool() ? "true" : "false");
      case Value::Kind::integer:
        return out_.add(std::to_string(*value.integral()));
      case Value::Kind::real:
        return out_.add(number(*value.if_real()));
      case Value::Kind::string:
        return write_string(value.text());
      case Value::Kind::list:
        return write_list(*value.if_list(), level);
      case Value::Kind::dict:
        return write_dict(*value.if_dict(), level);
      default:
        break;
    }
    return rt_.raise("Object of type " + std::string(value.type_name()) +
                     " is not JSON serializable");
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return python_repr(value);
  }

  Status write_string(std::string_view text) {
    PHIAL_TRY(rt_.step_for_characters(text.size()));
    PHIAL_TRY(out_.add("\""));
    std::string part;
    for (size_t at = 0; at < text.size();) {
      const utf8::Decoded c = utf8::decode(text.substr(at));
      part.clear();
      append_escaped(part, text.substr(at, c.length), c.code_point);
      PHIAL_TRY(out_.add(part));
      at += c.length;
    }
    return out_.add("\"");
  }

  void append_escaped(std::string& out, std::string_view character, char32_t code) const {
    static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kTo = "\"\\nrtfb";
    const size_t simple =
        code < 0x80 ? kFrom.find(static_cast<char>(code)) : std::string_view::npos;
    if (simple != std::string_view::npos) {
      out += '\\';
      out += kTo[simple];
    } else if (code >= 0x10000 && style_.ensure_ascii) {
      append_hex(out += "\\u", 0xD800 + ((code - 0x10000) >> 10), 4);
      append_hex(out += "\\u", 0xDC00 + ((code - 0x10000) & 0x3FF), 4);
    } else if (code < 0x20 || (code >= 0x7F && style_.ensure_ascii)) {
      append_hex(out += "\\u", code, 4);
    } else {
      out += character;
    }
  }

  Status line_break(int level) {
    if (!style_.indent) return {};
    PHIAL_TRY(out_.add("\n"));
    for (int i = 0; i < level; ++i) PHIAL_TRY(out_.add(*style_.indent));
    return {};
  }

  Status write_list(const ListData& list, int level) {
    if (list.items.empty()) return out_.add("[]");
    PHIAL_TRY(out_.add("["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) PHIAL_TRY(out_.add(style_.item_separator));
      PHIAL_TRY(line_break(level + 1));
      PHIAL_TRY(write(list.items[i], level + 1));
    }
    PHIAL_TRY(line_break(level));
    return out_.add("]");
  }

  Status write_dict(const DictData& dict, int level) {
    if (dict.members.empty()) return out_.add("{}");
    PHIAL_TRY(out_.add("{"));
    std::vector<Value> keys;
    for (const auto& member : dict.members) keys.push_back(member.first);
    if (style_.sort_keys) {
      PHIAL_TRY(stable_sort(rt_, keys,
                            [this](const Value& a, const Value& b) { return less(rt_, a, b); }));
    }
    bool first = true;
    for (const Value& key : keys) {
      if (!first) PHIAL_TRY(out_.add(style_.item_separator));
      first = false;
      PHIAL_TRY(line_break(level + 1));
      PHIAL_TRY(write_key(key));
      PHIAL_TRY(out_.add(style_.key_separator));
      PHIAL_ASSIGN(const Value* value, dict.find(rt_, key, hash_of(key).value_or(0)));
      PHIAL_TRY(write(*value, level + 1));
    }
    PHIAL_TRY(line_break(level));
    return out_.add("}");
  }

  Status write_key(const Value& key) {
    if (key.is_string()) return write_string(key.text());
    if (!key.is_number() && !key.is_none()) {
      return rt_.raise("keys must be str, int, float, bool or None, not " +
                       std::string(key.type_name()));
    }
    PHIAL_TRY(out_.add("\""));
    PHIAL_TRY(write(key, 0));
    return out_.add("\"");
  }

  Runtime& rt_;
  Builder& out_;
  const JsonStyle& style_;
};

}  // namespace

Status write_str(Runtime& rt, Builder& out, const Value& value) {
  if (value.is_string()) return out.add(value.text());
  if (value.is_undefined()) return {};
  return write_repr(rt, out, value);
}

Status write_repr(Runtime& rt, Builder& out, const Value& value, int depth) {
  PHIAL_TRY(rt.step());
  PHIAL_TRY(rt.check_depth(depth));
  switch (value.kind()) {
    case Value::Kind::undefined:
      return out.add("Undefined");
    case Value::Kind::none:
      return out.add("None");
    case Value::Kind::boolean:
      return out.add(*value.if_bool() ? "True" : "False");
    case Value::Kind::integer:
      return out.add(std::to_string(*value.integral()));
    case Value::Kind::real:
      return out.add(python_repr(*value.if_real()));
    case Value::Kind::string:
      if (!value.is_markup()) return write_string_repr(rt, out, value.text());
      PHIAL_TRY(out.add("Markup("));
      PHIAL_TRY(write_string_repr(rt, out, value.text()));
      return out.add(")");
    case Value::Kind::list:
      return write_list_repr(rt, out, *value.if_list(), depth);
    case Value::Kind::dict:
      return write_dict_repr(rt, out, *value.if_dict(), depth);
    case Value::Kind::object:
      return value.if_object()->write(rt, out, depth);
  }
  return {};
}

Status write_ascii(Runtime& rt, Builder& out, const Value& value) {
  Builder repr(rt);
  PHIAL_TRY(write_repr(rt, repr, value));
  PHIAL_TRY(rt.step_for_characters(repr.size()));
  std::string part;
  for (size_t at = 0; at < repr.size();) {
    const std::string_view rest = std::string_view(repr.text()).substr(at);
    const utf8::Decoded c = utf8::decode(rest);
    part.clear();
    if (c.code_point < 0x80) {
      part += rest[0];
    } else {
      append_escape(part, c.code_point);
    }
    PHIAL_TRY(out.add(part));
    at += c.length;
  }
  return {};
}

Result<std::string> to_str(Runtime& rt, const Value& value) {
  if (value.is_string()) {
    PHIAL_TRY(rt.step_for_bytes(value.text().size()));
    return value.text();
  }
  Builder out(rt);
  PHIAL_TRY(write_str(rt, out, value));
  return out.take();
}

Result<Value> to_string_value(Runtime& rt, const Value& value) {
  if (value.is_string()) return value;
  PHIAL_ASSIGN(std::string text, to_str(rt, value));
  return rt.string(std::move(text));
}

Result<std::string> escape_html(Runtime& rt, std::string_view text) {
  PHIAL_TRY(rt.step_for_characters(text.size()));
  Builder out(rt);
  size_t done = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const std::string_view entity = c == '&'    ? "&amp;"
                                    : c == '<'  ? "&lt;"
                                    : c == '>'  ? "&gt;"
                                    : c == '\'' ? "&#39;"
                                    : c == '"'  ? "&#34;"
                                                : "";
    if (entity.empty()) continue;
    PHIAL_TRY(out.add(text.substr(done, at - done)));
    PHIAL_TRY(out.add(entity));
    done = at + 1;
  }
  PHIAL_TRY(out.add(text.substr(done)));
  return out.take();
}

Result<Value> escape_value(Runtime& rt, const Value& value) {
  if (value.is_markup()) return value;
  PHIAL_ASSIGN(const std::string text, to_str(rt, value));
  PHIAL_ASSIGN(std::string escaped, escape_html(rt, text));
  return rt.string(std::move(escaped), true);
}

Status write_json(Runtime& rt, Builder& out, const Value& value, const JsonStyle& style) {
  return JsonWriter(rt, out, style).write(value, 0);
}

}  // namespace phial::jinja
