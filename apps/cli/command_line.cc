#include "command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <phial/phial.hpp>

namespace phial_cli {
namespace {

constexpr size_t kHelpWidth = 80;
constexpr size_t kHelpColumn = 30;  // where the help text of an option begins

// Optimal string alignment distance: insertions, deletions, substitutions, swapped neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, substituted});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// `text` broken into lines of `width`, each but the first behind `indent` spaces.
std::string wrapped(const std::string& text, size_t width, size_t indent) {
  std::string out;
  size_t line = 0;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const size_t word = end - at;
    if (line > 0 && line + 1 + word > width) {
      out += '\n' + std::string(indent, ' ');
      line = 0;
    }
    if (line > 0) {
      out += ' ';
      ++line;
    }
    out.append(text, at, word);
    line += word;
    at = end + 1;
  }
  return out;
}

// The whole of `text` as a number; nothing when it is none or out of the type's range.
template <class T>
std::optional<T> whole_number(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

std::string range_text(int64_t min, int64_t max) {
  if (max == INT64_MAX) return fmt::format("{} or more", min);
  return fmt::format("{}..{}", min, max);
}

int64_t parse_integer(const std::string& option, const std::string& text, int64_t min,
                      int64_t max) {
  const std::optional<int64_t> value = whole_number<int64_t>(text);
  if (!value || *value < min || *value > max) {
    fail_usage(option,
               fmt::format("expected a whole number, {}; got '{}'", range_text(min, max), text));
  }
  return *value;
}

// "4096", "4G", "4GB", "4GiB", "1.5g": units are powers of 1024. Nothing for what is no size, is
// less than a byte or more than 64 bits hold.
std::optional<uint64_t> parse_size(const std::string& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  std::string unit = text.substr(digits);
  for (char& c : unit) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  size_t shift = 0;
  if (!unit.empty()) {
    static constexpr std::string_view kUnits = "KMGT";
    const size_t power = kUnits.find(unit[0]);
    const std::string rest = unit.substr(1);
    if (power == std::string_view::npos || !(rest.empty() || rest == "B" || rest == "IB")) {
      return std::nullopt;
    }
    shift = 10 * (power + 1);
  }
  const std::string number = text.substr(0, digits);
  if (const auto whole = whole_number<uint64_t>(number)) {
    if (*whole == 0 || *whole > UINT64_MAX >> shift) return std::nullopt;
    return *whole << shift;
  }
  const auto real = whole_number<double>(number);
  if (!real || unit.empty()) return std::nullopt;
  const double bytes = std::ldexp(*real, static_cast<int>(shift));
  if (!(bytes >= 1 && bytes < 0x1p64)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

// The available choice that `text` is another tool's word for, or else is close to; else empty.
std::string similar_choice(const std::string& text, const std::vector<Choice>& choices) {
  std::vector<std::string> names;
  for (const Choice& choice : choices) {
    if (!choice.available) continue;
    const std::string words = fmt::format(" {} ", choice.similar);
    if (!text.empty() && words.find(fmt::format(" {} ", text)) != std::string::npos) {
      return choice.name;
    }
    names.emplace_back(choice.name);
  }
  return closest(text, names);
}

}  // namespace

void fail_usage(const std::string& where, const std::string& message, const std::string& hint) {
  throw phial::Error("usage", where, message, hint);
}

std::string closest(std::string_view given, const std::vector<std::string>& candidates) {
  constexpr size_t kMaxCompared = 64;
  if (given.size() > kMaxCompared) return {};
  std::string best;
  size_t best_distance = std::max<size_t>(2, given.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(given, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::vector<int64_t> parse_integer_list(const std::string& option, const std::string& text,
                                        int64_t min, int64_t max) {
  std::vector<int64_t> values;
  size_t at = 0;
  while (true) {
    const size_t comma = std::min(text.find(',', at), text.size());
    values.push_back(parse_integer(option, text.substr(at, comma - at), min, max));
    if (comma == text.size()) return values;
    at = comma + 1;
  }
}

void CommandLine::add(const std::string& option, std::string value, std::string help,
                      std::function<void(const std::string&)> set) {
  options_.push_back({heading_, option, std::move(value), std::move(help), std::move(set)});
}

void CommandLine::positional(std::string name, bool required, std::optional<std::string>& target) {
  positionals_.push_back({std::move(name), required, &target});
}

void CommandLine::flag(const std::string& option, bool& target, std::string help) {
  add(option, "", std::move(help), [&target](const std::string&) { target = true; });
}

void CommandLine::text(const std::string& option, std::string value,
                       std::optional<std::string>& target, std::string help) {
  add(option, std::move(value), std::move(help),
      [&target](const std::string& text) { target = text; });
}

void CommandLine::texts(const std::string& option, std::string value,
                        std::vector<std::string>& target, std::string help) {
  add(option, std::move(value), std::move(help),
      [&target](const std::string& text) { target.push_back(text); });
  options_.back().repeatable = true;
}

void CommandLine::integer(const std::string& option, std::string value,
                          std::optional<int64_t>& target, int64_t min, int64_t max,
                          std::string help) {
  add(option, std::move(value), std::move(help),
      [&target, option, min, max](const std::string& text) {
        target = parse_integer(option, text, min, max);
      });
}

void CommandLine::seed(const std::string& option, std::optional<uint64_t>& target,
                       std::string help) {
  add(option, "N", std::move(help), [&target, option](const std::string& text) {
    if (const auto value = whole_number<uint64_t>(text)) {
      target = *value;
    } else if (const auto negative = whole_number<int64_t>(text)) {
      target = static_cast<uint64_t>(*negative);
    } else {
      fail_usage(option, fmt::format("expected a 64-bit integer; got '{}'", text));
    }
  });
}

void CommandLine::bytes(const std::string& option, std::string value,
                        std::optional<uint64_t>& target, std::string help) {
  add(option, std::move(value), std::move(help), [&target, option](const std::string& text) {
    target = parse_size(text);
    if (target) return;
    fail_usage(option, fmt::format("expected a number of bytes, 1 or more, or one with K, M, G or "
                                   "T behind it; got '{}'",
                                   text));
  });
}

void CommandLine::real(const std::string& option, std::string value, std::optional<float>& target,
                       std::function<bool(double)> is_valid, std::string range, std::string help) {
  add(option, std::move(value), std::move(help),
      [&target, option, is_valid = std::move(is_valid),
       range = std::move(range)](const std::string& text) {
        const std::optional<double> number = whole_number<double>(text);
        const float narrowed = number ? static_cast<float>(*number) : 0.0f;
        // Checked as the float that is used: 1e-60 is no temperature above 0.
        if (!number || !std::isfinite(narrowed) || !is_valid(narrowed)) {
          fail_usage(option, fmt::format("expected a number {}; got '{}'", range, text));
        }
        target = narrowed;
      });
}

void CommandLine::choice(const std::string& option, std::vector<Choice> choices, std::string help) {
  add_choice(option, std::move(choices), nullptr, std::move(help));
}

void CommandLine::choice(const std::string& option, std::vector<Choice> choices,
                         std::optional<std::string>& target, std::string help) {
  add_choice(option, std::move(choices), &target, std::move(help));
}

namespace {

// "fp32, int8 are"
std::string available_of(const std::vector<Choice>& choices) {
  std::vector<std::string> names;
  for (const Choice& choice : choices) {
    if (choice.available) names.emplace_back(choice.name);
  }
  return fmt::format("{} {}", fmt::join(names, ", "), names.size() == 1 ? "is" : "are");
}

}  // namespace

void CommandLine::add_choice(const std::string& option, std::vector<Choice> choices,
                             std::optional<std::string>* target, std::string help) {
  std::string names;
  for (const Choice& choice : choices) {
    if (choice.available) names += (names.empty() ? "" : "|") + std::string(choice.name);
  }
  add(option, "NAME", std::move(help), [option, choices, names, target](const std::string& text) {
    for (const Choice& choice : choices) {
      if (text != choice.name && (text.empty() || text != choice.same)) continue;
      if (choice.available) {
        if (target != nullptr) *target = choice.name;
        return;
      }
      throw phial::Error("unsupported", option,
                         fmt::format("{} is not available in this version", text),
                         available_of(choices));
    }
    const std::string similar = similar_choice(text, choices);
    fail_usage(option, fmt::format("expected {}; got '{}'", names, text),
               similar.empty() ? "" : fmt::format("did you mean {}?", similar));
  });
  for (const Choice& choice : choices) {
    if (choice.available) options_.back().choices.emplace_back(choice.name);
  }
}

void CommandLine::planned(const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    add(option, "X", "", [option](const std::string&) {
      throw phial::Error("unsupported", option, "this option is not available in this version");
    });
  }
}

void CommandLine::reject_extra(const std::vector<std::string>& extras) const {
  std::vector<std::string> known;
  for (const Option& option : options_) known.push_back(option.name);
  for (const std::string& extra : extras) {
    if (extra == "--") break;
    if (extra.size() < 2 || extra[0] != '-') continue;
    const std::string given = extra.substr(0, extra.find('='));
    const std::string similar = closest(given, known);
    fail_usage(name_, fmt::format("unknown option {}", given),
               similar.empty() ? fmt::format("a text that begins with a dash goes behind --; "
                                             "'phial {} --help' lists the options",
                                             name_)
                               : fmt::format("did you mean {}?", similar));
  }
  const bool takes_text =
      std::any_of(positionals_.begin(), positionals_.end(), [](const Positional& positional) {
        return positional.name == "PROMPT" || positional.name == "TEXT";
      });
  fail_usage(name_, fmt::format("'{}' is one argument too many", extras.back()),
             takes_text ? "put quotes around a text of several words"
                        : fmt::format("phial {} {}", name_, usage_));
}

std::vector<std::string> CommandLine::split_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    if (argument == "--") {
      out.insert(out.end(), arguments.begin() + static_cast<ptrdiff_t>(at), arguments.end());
      break;
    }
    const size_t equals = argument.starts_with("--") ? argument.find('=') : std::string::npos;
    const std::string name = argument.substr(0, equals);
    const auto option = std::find_if(options_.begin(), options_.end(),
                                     [&name](const Option& o) { return o.name == name; });
    if (option == options_.end()) {
      out.push_back(argument);
      continue;
    }
    std::vector<std::string>& given = given_[name];
    if (!given.empty() && !option->repeatable) fail_usage(name, "is given more than once");
    out.push_back(name);
    if (option->value.empty()) {
      if (equals != std::string::npos) fail_usage(name, "takes no value");
      given.emplace_back();
    } else if (equals != std::string::npos) {
      given.push_back(argument.substr(equals + 1));
      out.push_back(given.back());
    } else if (at + 1 < arguments.size()) {
      given.push_back(arguments[++at]);
      out.push_back(given.back());
    } else {
      fail_usage(name, fmt::format("needs a value: {} {}", name, option->value));
    }
  }
  return out;
}

bool CommandLine::parse(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1 && arguments[0] == kTableArgument) throw TableRequest{*this};
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.add_flag_function("-h,--help", [this](int64_t) { help_ = true; });
  for (Option& option : options_) {
    if (option.value.empty()) {
      app.add_flag_function(option.name, [&option](int64_t) { option.set(""); });
    } else {
      // Each time it is given; CLI11 by itself takes one value of an option.
      app.add_option_function<std::string>(option.name, option.set)->trigger_on_parse();
    }
  }
  for (Positional& positional : positionals_) {
    app.add_option_function<std::string>(
        positional.name, [&positional](const std::string& text) { *positional.target = text; });
  }
  std::vector<std::string> reversed = split_values(arguments);
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    fail_usage(name_, error.what(), fmt::format("see 'phial {} --help'", name_));
  }
  if (help_) return false;
  std::vector<std::string> extras = app.remaining();
  if (!extras.empty() && !(extras.size() == 1 && extras[0] == "--")) reject_extra(extras);
  for (const Positional& positional : positionals_) {
    if (positional.required && !positional.target->has_value()) {
      fail_usage(name_, fmt::format("{} is missing", positional.name),
                 fmt::format("phial {} {}", name_, usage_));
    }
  }
  return true;
}

std::string CommandLine::help() const {
  std::string out = fmt::format("phial {} - {}\n\nExamples\n", name_, summary_);
  out += examples_;
  out += fmt::format("\nUsage\n  phial {} {}\n", name_, usage_);
  std::string heading;
  for (const Option& option : options_) {
    if (option.help.empty()) continue;
    if (option.heading != heading) {
      heading = option.heading;
      out += fmt::format("\n{}\n", heading);
    }
    std::string left = "  " + option.name + (option.value.empty() ? "" : " " + option.value);
    if (left.size() + 2 > kHelpColumn) {
      out += left + '\n';
      left.clear();
    }
    left.resize(kHelpColumn, ' ');
    out += left + wrapped(option.help, kHelpWidth - kHelpColumn, kHelpColumn) + '\n';
  }
  for (const std::string& remark : remarks_) out += '\n' + wrapped(remark, kHelpWidth, 0) + '\n';
  return out;
}

}  // namespace phial_cli
