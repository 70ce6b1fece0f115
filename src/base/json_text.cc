// JSON values to text.
#include <charconv>
#include <cmath>
#include <string>

#include "base/json.h"
#include "base/utf8.h"

namespace phial {
namespace {

class TextWriter {
 public:
  explicit TextWriter(int indent) : indent_(indent) {}

  void write(const Json& value) {
    switch (value.kind()) {
      case Json::Kind::null:
        out_ += "null";
        break;
      case Json::Kind::boolean:
        out_ += *value.if_bool() ? "true" : "false";
        break;
      case Json::Kind::integer:
        out_ += std::to_string(*value.if_integer());
        break;
      case Json::Kind::real:
        write_real(*value.if_real());
        break;
      case Json::Kind::string:
        write_string(*value.if_string());
        break;
      case Json::Kind::array:
        write_items(*value.if_array(), '[', ']', [this](const Json& item) { write(item); });
        break;
      case Json::Kind::object:
        write_items(*value.if_object(), '{', '}', [this](const Json::Member& member) {
          write_string(member.first);
          out_ += indent_ > 0 ? ": " : ":";
          write(member.second);
        });
        break;
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write_real(double value) {
    if (!std::isfinite(value)) {
      out_ += "null";
      return;
    }
    char digits[32];  // the shortest form of a double takes at most 24
    const auto result = std::to_chars(digits, digits + sizeof(digits), value);
    const std::string_view text(digits, static_cast<size_t>(result.ptr - digits));
    out_ += text;
    // Without a point or an exponent it would read back as an integer.
    if (text.find_first_of(".e") == std::string_view::npos) out_ += ".0";
  }

  void write_string(std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string valid;
    if (utf8::find_invalid(text)) {
      valid = utf8::lossy(text);
      text = valid;
    }
    out_ += '"';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (byte >= 0x20) {
        out_ += c;
      } else if (c == '\n') {
        out_ += "\\n";
      } else if (c == '\t') {
        out_ += "\\t";
      } else if (c == '\r') {
        out_ += "\\r";
      } else {
        out_ += "\\u00";
        out_ += kHex[byte >> 4];
        out_ += kHex[byte & 15];
      }
    }
    out_ += '"';
  }

  template <class Items, class WriteItem>
  void write_items(const Items& items, char open, char close, WriteItem&& write_item) {
    out_ += open;
    ++depth_;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += ',';
      first = false;
      new_line();
      write_item(item);
    }
    --depth_;
    if (!first) new_line();
    out_ += close;
  }

  void new_line() {
    if (indent_ <= 0) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth_), ' ');
  }

  const int indent_;
  int depth_ = 0;
  std::string out_;
};

}  // namespace

std::string to_text(const Json& value, int indent) {
  TextWriter writer(indent);
  writer.write(value);
  return writer.take();
}

}  // namespace phial
