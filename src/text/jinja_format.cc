#include "text/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"
#include "text/jinja_format_spec.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// str(value), repr(value) or ascii(value) for 's', 'r' and 'a'.
Status write_converted(Runtime& rt, Builder& out, char how, const Value& value) {
  if (how == 's') return write_str(rt, out, value);
  return how == 'r' ? write_repr(rt, out, value) : write_ascii(rt, out, value);
}

class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, const Value& format, const Value& values)
      : rt_(rt), format_(format.text()), escape_(format.is_markup()), values_(values), out_(rt) {}

  Result<Value> run() {
    PHIAL_TRY(rt_.step_for_characters(format_.size()));
    size_t at = 0;
    while (true) {
      const size_t percent = std::min(format_.find('%', at), format_.size());
      PHIAL_TRY(out_.add(format_.substr(at, percent - at)));
      if (percent == format_.size()) break;
      at = percent + 1;
      PHIAL_TRY(rt_.step());
      PHIAL_TRY(directive(at));
    }
    const bool leftover = values_.is_tuple() ? next_ < values_.if_list()->items.size()
                                             : next_ == 0 && values_.if_dict() == nullptr &&
                                                   values_.if_list() == nullptr;
    if (leftover) return rt_.raise("not all arguments converted during string formatting");
    return rt_.string(out_.take(), escape_);
  }

 private:
  char peek(size_t at) const { return at < format_.size() ? format_[at] : '\0'; }

  Result<Value> next_value() {
    if (values_.is_tuple()) {
      const auto& items = values_.if_list()->items;
      if (next_ < items.size()) return items[next_++];
    } else if (next_ == 0) {
      ++next_;
      return values_;
    }
    return rt_.raise("not enough arguments for format string");
  }

  Result<int64_t> number_or_star(size_t& at) {
    if (peek(at) != '*') return static_cast<int64_t>(read_digits(format_, at));
    ++at;
    PHIAL_ASSIGN(const Value value, next_value());
    return to_integer(rt_, value, "* of a format");
  }

  Status directive(size_t& at) {
    FormatSpec spec;
    Value value;
    if (peek(at) == '(') PHIAL_TRY(mapped(at, value));
    bool left = false;
    bool zero = false;
    for (;; ++at) {
      const char flag = peek(at);
      if (flag == '-')
        left = true;
      else if (flag == '0')
        zero = true;
      else if (flag == '#')
        spec.alternate = true;
      else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
        spec.sign = flag;
      else if (flag != ' ')
        break;
    }
    PHIAL_ASSIGN(int64_t width, number_or_star(at));
    left = left || width < 0;
    spec.width =
        static_cast<size_t>(std::abs(std::max(width, -std::numeric_limits<int64_t>::max())));
    if (peek(at) == '.') {
      ++at;
      PHIAL_ASSIGN(const int64_t precision, number_or_star(at));
      spec.precision = static_cast<int>(std::clamp<int64_t>(precision, 0, 1 << 30));
    }
    while (peek(at) == 'l' || peek(at) == 'h' || peek(at) == 'L') ++at;
    spec.type = peek(at);
    if (spec.type == '\0') return rt_.raise("incomplete format");
    ++at;
    if (spec.type == '%') return out_.add("%");
    if (value.missing()) {
      PHIAL_ASSIGN(value, next_value());
    }
    spec.align = left ? '<' : '>';
    return convert(spec, zero && !left, value);
  }

  // "%(key)s"
  Status mapped(size_t& at, Value& value) {
    if (values_.if_dict() == nullptr) return rt_.raise("format requires a mapping");
    int open = 0;
    const size_t from = at + 1;
    for (; at < format_.size(); ++at) {
      if (format_[at] == '(') ++open;
      if (format_[at] == ')' && --open == 0) break;
    }
    if (at == format_.size()) return rt_.raise("incomplete format key");
    const Value* found = values_.if_dict()->find(format_.substr(from, at - from));
    if (found == nullptr) return rt_.raise("KeyError in a format");
    value = *found;
    ++at;
    return {};
  }

  Status convert(FormatSpec spec, bool zero, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        Builder text(rt_);
        PHIAL_TRY(write_converted(rt_, text, spec.type, value));
        if (!escape_ || (spec.type == 's' && value.is_markup())) {
          return write_text(rt_, out_, spec, text.text());
        }
        PHIAL_ASSIGN(const std::string escaped, escape_html(rt_, text.text()));
        return write_text(rt_, out_, spec, escaped);
      }
      case 'c':
        return convert_character(spec, value);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return convert_integer(spec, zero, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return convert_real(spec, zero, value);
      default:
        return rt_.raise(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  Status convert_character(FormatSpec spec, const Value& value) {
    spec.precision = -1;  // cuts no character
    std::string text;
    if (const auto code = value.integral()) {
      if (*code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
        return rt_.raise("%c arg not in range(0x110000)");
      }
      utf8::append(text, static_cast<char32_t>(*code));
    } else if (value.is_string() && value.if_string()->length == 1) {
      text = value.text();
    } else {
      return rt_.raise("%c requires int or char");
    }
    return write_text(rt_, out_, spec, text);
  }

  Status convert_integer(FormatSpec spec, bool zero, const Value& value) {
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    std::optional<int64_t> number = value.integral();
    if (const double* real = value.if_real(); real != nullptr && decimal) {
      if (!std::isfinite(*real)) return rt_.raise("cannot convert float to integer");
      if (std::fabs(*real) >= 9.2e18) return rt_.over("an integer does not fit 64 bits");
      number = static_cast<int64_t>(*real);
    }
    if (!number) {
      return rt_.raise(std::string("%") + spec.type + " format: a number is required, not " +
                       std::string(value.type_name()));
    }
    PHIAL_TRY(rt_.check_string_size(static_cast<uint64_t>(std::max(spec.precision, 0))));
    if (zero) set_zero_fill(spec);
    return write_integer(rt_, out_, spec, *number);
  }

  Status convert_real(FormatSpec spec, bool zero, const Value& value) {
    const auto number = value.number();
    if (!number) return rt_.raise("must be real number, not " + std::string(value.type_name()));
    if (spec.precision > kMaxPrecision) return rt_.over("precision of a format is too large");
    if (zero) set_zero_fill(spec);
    return write_real(rt_, out_, spec, *number);
  }

  static void set_zero_fill(FormatSpec& spec) {
    spec.fill = "0";
    spec.align = '=';
  }

  Runtime& rt_;
  std::string_view format_;
  bool escape_;
  const Value& values_;
  Builder out_;
  size_t next_ = 0;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, const CallArgs& args) : rt_(rt), args_(args) {}

  Status run(Builder& out, std::string_view format, int nesting) {
    PHIAL_TRY(rt_.step_for_characters(format.size()));
    size_t at = 0;
    while (at < format.size()) {
      const size_t brace = std::min(format.find_first_of("{}", at), format.size());
      PHIAL_TRY(out.add(format.substr(at, brace - at)));
      if (brace == format.size()) break;
      const char c = format[brace];
      at = brace + 1;
      if (at < format.size() && format[at] == c) {
        PHIAL_TRY(out.add(1, c));
        ++at;
      } else if (c == '}') {
        return rt_.raise("Single '}' encountered in format string");
      } else {
        PHIAL_TRY(field(out, format, at, nesting));
      }
    }
    return {};
  }

 private:
  // A replacement field; `at` stands behind its brace and moves behind the closing one.
  Status field(Builder& out, std::string_view format, size_t& at, int nesting) {
    PHIAL_TRY(rt_.step());
    if (nesting > 1) return rt_.raise("Max string recursion exceeded");
    const size_t from = at;
    int open = 1;
    for (; at < format.size() && open > 0; ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}') --open;
    }
    if (open > 0) return rt_.raise("expected '}' before end of string");
    std::string_view body = format.substr(from, at - 1 - from);
    // The name ends at "!" or ":" outside of square brackets.
    size_t end = 0;
    for (bool inside = false; end < body.size(); ++end) {
      if (body[end] == '[') inside = true;
      if (body[end] == ']') inside = false;
      if (!inside && (body[end] == '!' || body[end] == ':')) break;
    }
    PHIAL_ASSIGN(Value value, resolve(body.substr(0, end)));
    body = body.substr(end);
    if (!body.empty() && body[0] == '!') {
      if (body.size() < 2 || (body.size() > 2 && body[2] != ':')) {
        return rt_.raise("expected ':' after conversion specifier");
      }
      PHIAL_TRY(convert(body[1], value));
      body = body.substr(2);
    }
    Builder spec(rt_);
    if (!body.empty()) PHIAL_TRY(run(spec, body.substr(1), nesting + 1));
    return format_value(rt_, out, value, spec.text());
  }

  Status convert(char how, Value& value) {
    if (how != 's' && how != 'r' && how != 'a') {
      return rt_.raise(std::string("Unknown conversion specifier ") + how);
    }
    Builder text(rt_);
    PHIAL_TRY(write_converted(rt_, text, how, value));
    PHIAL_ASSIGN(value, rt_.string(text.take()));
    return {};
  }

  Result<Value> resolve(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    PHIAL_ASSIGN(Value value, argument(name.substr(0, end)));
    name = name.substr(end);
    while (!name.empty()) {
      PHIAL_TRY(rt_.step());
      if (name[0] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", 1), name.size());
        PHIAL_ASSIGN(value, get_attribute(rt_, value, name.substr(1, stop - 1)));
        name = name.substr(stop);
        continue;
      }
      const size_t close = name.find(']');
      if (name[0] != '[' || close == std::string_view::npos) {
        return rt_.raise("Missing ']' in format string");
      }
      const std::string_view key = name.substr(1, close - 1);
      const ParsedInt index = parse_python_int(key, 10);
      const bool number = index.state == ParsedInt::State::ok && is_digit(key[0]);
      Value item;
      if (number) {
        item = Value(index.value);
      } else {
        PHIAL_ASSIGN(item, rt_.string(std::string(key)));
      }
      PHIAL_ASSIGN(value, get_item(rt_, value, item));
      name = name.substr(close + 1);
    }
    return value;
  }

  Result<Value> argument(std::string_view name) {
    const bool number = !name.empty() && std::all_of(name.begin(), name.end(), is_digit);
    if (!number && !name.empty()) {
      for (const auto& [key, value] : args_.named) {
        if (key == name) return value;
      }
      return rt_.raise("KeyError: '" + std::string(name) + "'");
    }
    // Either all fields are numbered by hand or none is.
    if (number ? automatic_ > 0 : manual_) {
      return rt_.raise("cannot switch between manual and automatic field numbering");
    }
    size_t at = 0;
    size_t index = 0;
    if (number) {
      manual_ = true;
      index = read_digits(name, at);
    } else {
      index = automatic_++;
    }
    if (index >= args_.positional.size()) {
      return rt_.raise("Replacement index " + std::to_string(index) +
                       " out of range for positional args tuple");
    }
    return args_.positional[index];
  }

  Runtime& rt_;
  const CallArgs& args_;
  size_t automatic_ = 0;
  bool manual_ = false;
};

}  // namespace

Result<Value> format_percent(Runtime& rt, const Value& format, const Value& values) {
  return PercentFormatter(rt, format, values).run();
}

Result<Value> format_braces(Runtime& rt, const Value& format, const CallArgs& args) {
  Builder out(rt);
  PHIAL_TRY(BraceFormatter(rt, args).run(out, format.text(), 0));
  return rt.string(out.take(), format.is_markup());
}

}  // namespace phial::jinja
