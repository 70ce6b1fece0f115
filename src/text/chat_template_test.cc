#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "sys/test_time.h"

namespace phial {
namespace {

constexpr int64_t kNoon = 1721995200;  // 2024-07-26 12:00 UTC, as in make_templates.py

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::string> render(std::string_view source, const Json& variables = Json(Json::Object{}),
                           const TemplateLimits& limits = {}) {
  PHIAL_ASSIGN(const auto compiled, ChatTemplate::parse(source, "chat", limits));
  return compiled->render(variables, kNoon);
}

std::string text_of(std::string_view source, const Json& variables = Json(Json::Object{})) {
  const Result<std::string> text = render(source, variables);
  return text.ok() ? *text : text.error().to_string();
}

Json parse(std::string_view text) {
  Result<Json> json = parse_json(text, "test");
  EXPECT_TRUE(json.ok()) << json.error().to_string();
  return json.ok() ? *json : Json();
}

// The template and the variables of a case: its own, or those of a family and a conversation.
std::pair<std::string, Json> inputs_of(const Json& file, const Json& c) {
  if (const Json* own = c.find("template")) return {*own->if_string(), *c.find("variables")};
  const auto named = [&](const char* group, const char* member) -> const Json& {
    return *file.find(group)->find(*c.find(member)->if_string());
  };
  Json variables = named("conversations", "conversation");
  variables.set("add_generation_prompt", *c.find("prompt"));
  return {*named("templates", "family").if_string(), std::move(variables)};
}

// Renders all cases of a file that tests/golden/make_templates.py describes. The result of each
// goes to `results` as {"text"} or {"error","message"}.
void check_cases(const std::string& path, Json* results = nullptr) {
  const Result<Json> file = parse_json(read_file(path), path);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const Json::Array& cases = *file->find("cases")->if_array();
  ASSERT_FALSE(cases.empty());
  for (const Json& c : cases) {
    const std::string& name = *c.find("name")->if_string();
    const auto [source, variables] = inputs_of(*file, c);
    const Result<std::string> text = render(source, variables);
    if (results != nullptr) {
      Json result;
      if (text.ok()) {
        result.set("text", *text);
      } else {
        result.set("error", std::string(error_info(text.error().code).name));
        result.set("message", text.error().message);
      }
      results->push(std::move(result));
    } else if (const Json* expected = c.find("expected"); expected == nullptr) {
      EXPECT_FALSE(text.ok()) << name << " should raise, gave " << *text;
    } else {
      EXPECT_TRUE(text.ok()) << name << ": " << text.error().to_string();
      EXPECT_EQ(text.ok() ? *text : std::string(), *expected->if_string()) << name;
    }
  }
}

TEST(ChatTemplate, EqualsJinja2) {
  check_cases(PHIAL_SOURCE_DIR "/tests/golden/templates/cases.json");
}

// For tests/peers/template_compare.py, which compares the results.
TEST(ChatTemplate, RendersGivenCases) {
  const char* cases = std::getenv("PHIAL_TEMPLATE_CASES");
  const char* results = std::getenv("PHIAL_TEMPLATE_RESULTS");
  if (cases == nullptr || results == nullptr) {
    GTEST_SKIP() << "PHIAL_TEMPLATE_CASES and PHIAL_TEMPLATE_RESULTS name no files";
  }
  Json all{Json::Array{}};
  check_cases(cases, &all);
  std::ofstream(results, std::ios::binary) << to_text(all);
}

struct Refused {
  const char* source;
  ErrorCode code;
  int line;
};

TEST(ChatTemplate, ErrorsNameTheLine) {
  const Refused cases[] = {
      {"a\n{{ 1 }}\n{% if %}", ErrorCode::damaged, 3},
      {"a\n{{ 'x\n\ny' }}\n{{ $ }}", ErrorCode::damaged, 5},
      {"\n{% nope %}", ErrorCode::damaged, 2},
      {"\n\n{% include 'x' %}", ErrorCode::unsupported, 3},
      {"\n{{ 1 | urlize }}", ErrorCode::unsupported, 2},
      {"\n\n{{ 1 is nope }}", ErrorCode::unsupported, 3},
      {"{% if true %}\n{{ 1 | nope }}{% endif %}", ErrorCode::template_error, 2},
      {"\n{{ raise_exception('boom') }}", ErrorCode::template_error, 2},
      {"{# \n #}\n\n{{ missing.x }}", ErrorCode::template_error, 4},
      {"{% raw %}\n\n{% endraw %}\n{{ 1 / 0 }}", ErrorCode::template_error, 4},
      {"x\n  {%- for m in [1] -%}\n\n  {{ 1 + 'a' }}{% endfor %}", ErrorCode::template_error, 4},
      {"{% macro m() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ m() }}", ErrorCode::template_error, 2},
  };
  for (const Refused& c : cases) {
    const Result<std::string> text = render(c.source);
    ASSERT_FALSE(text.ok()) << c.source;
    EXPECT_EQ(text.error().code, c.code) << c.source << ": " << text.error().to_string();
    EXPECT_EQ(text.error().where, "chat:" + std::to_string(c.line)) << c.source;
  }
}

TEST(ChatTemplate, RaisedMessageIsTheErrors) {
  const Result<std::string> text = render("{{ raise_exception('roles must alternate') }}");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message, "roles must alternate");
}

// What Python computes exactly or without end is a named error instead.
TEST(ChatTemplate, IntegersStay64Bits) {
  for (const char* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ 2 ** 64 }}", "{{ 3037000500 * 3037000500 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ 10 ** 1000000000 }}",
        "{{ '99999999999999999999' | int }}", "{{ 1e300 | int }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ (-9223372036854775807 - 1) | abs }}", "{{ [9223372036854775807, 1] | sum }}"}) {
    const Result<std::string> text = render(source);
    ASSERT_FALSE(text.ok()) << source << " = " << *text;
    EXPECT_EQ(text.error().code, ErrorCode::over_limit) << source;
  }
  EXPECT_EQ(render("{{ 99999999999999999999 }}").error().code, ErrorCode::unsupported);
}

std::string repeat(std::string_view part, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += part;
  return out;
}

std::vector<std::string> hostile_templates() {
  // A value doubled `n` times over, then used.
  const auto doubling = [](const std::string& first, const std::string& step,
                           const std::string& use) {
    return "{% set ns = namespace(x=" + first +
           ") %}{% for i in range(100) %}{% set ns.x = " + step + " %}{% endfor %}" + use;
  };
  const auto repeated = [](const std::string& body) {
    return "{% for i in range(100000) %}{% for j in range(100000) %}" + body +
           "{% endfor %}{% endfor %}";
  };
  return {
      repeated(""),
      repeated("x"),
      repeated("{{ i }}"),
      "{{ range(1000000000000) }}",
      "{{ range(-9223372036854775807, 9223372036854775807) | length }}",
      "{{ 'x' * 1000000000 }}",
      "{{ 'x' * 9223372036854775807 }}",
      "{{ [0] * 1000000000 }}",
      "{{ [0] * 9223372036854775807 }}",
      "{{ 'a\nb' | indent(1000000000) }}",
      "{{ 'a' | center(1000000000) }}",
      "{{ 'a'.ljust(9223372036854775807) }}",
      "{{ 'a'.zfill(1000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%.1000000000d' % 1 }}",
      "{{ '%.1000000000f' % 1 }}",
      "{{ '%*d' % (1000000000, 1) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '{:.1000000000f}'.format(1.5) }}",
      "{{ '{:é>1000000000}'.format(1) }}",
      "{{ [1] | batch(1000000000000, 0) | list }}",
      "{{ [1] | slice(1000000000000) | list }}",
      "{{ [1] | tojson(indent=1000000000) }}",
      "{{ 'a\tb'.expandtabs(1000000000) }}",
      "{{ ('x' * 8000000) | replace('x', 'x' * 8000000) }}",
      "{{ ('x' * 8000000) | replace('', 'yyyy') }}",
      "{{ ('x' * 8000000).split('x') | length }}",
      "{{ ('x ' * 4000000).split() | length }}",
      "{{ ('x' * 8000000) | list | length }}",
      "{{ ('x' * 8000000).join(range(100000) | map('string')) }}",
      "{{ (('a' * 4000000) ~ 'b') in ('a' * 8000000) }}{{ ('a' * 8000000).rfind('a' * 4000000 ~ "
      "'b') }}",
      "{{ ('a' * 8000000).rsplit('a' * 4000000 ~ 'b') }}",
      "{{ ('a' * 8000000).rpartition('b' ~ 'a' * 4000000) }}",
      "{% for i in range(100000) %}{{ ('a' * 8000000)[i:] | length }}{% endfor %}",
      "{% set s = 'é' * 4000000 %}{% for i in range(100000) %}{{ s[3999999] }}{% endfor %}",
      "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% if s | upper == s %}{% endif %}{% "
      "endfor %}",
      "{% set s = 'a' * 8000000 %}{% set d = {s: 1} %}{% for i in range(100000) %}{{ d[s] }}{% "
      "endfor %}",
      "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% if s ~ 'b' == s ~ 'c' %}{% endif "
      "%}{% endfor %}",
      doubling("'xx'", "ns.x ~ ns.x", "{{ ns.x }}"),
      doubling("'xx'", "ns.x + ns.x", "{{ ns.x }}"),
      doubling("[1]", "ns.x + ns.x", "{{ ns.x }}"),
      doubling("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
      doubling("[1]", "[ns.x, ns.x]", "{{ ns.x | tojson }}"),
      doubling("[1]", "[ns.x, ns.x]", "{{ ns.x == [ns.x[0], ns.x[1]] }}"),
      doubling("(1,)", "(ns.x, ns.x)", "{{ {ns.x: 1} }}"),
      doubling("{}", "{'a': ns.x, 'b': ns.x}", "{{ ns.x }}"),
      doubling("'\"'", "ns.x | tojson", "{{ ns.x }}"),
      "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}",
      "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = ns.x | map('upper') "
      "%}{% endfor %}"
      "{{ ns.x | list }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = namespace(x=ns.x) "
      "%}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}",
      "{% set ns = namespace(c=namespace()) %}{% for i in range(100000) %}{% set c = ns.c %}"
      "{% set n = namespace() %}{% set c.p = n %}{% set ns.c = n %}{% endfor %}" +
          repeated(""),
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
      "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
      "{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}",
      "{{ " + repeat("[", 100000) + repeat("]", 100000) + " }}",
      "{{ " + repeat("{1:", 100000) + " }}",
      "{{ " + repeat("not ", 100000) + "1 }}",
      "{{ " + repeat("-", 100000) + "1 }}",
      "{{ " + repeat("1 if 1 else ", 30000) + "1 }}",
      "{{ " + repeat("1 if 1 ", 30000) + " }}",
      "{{ x" + repeat(".x", 100000) + " }}",
      "{{ x" + repeat("[0]", 100000) + " }}",
      "{{ x" + repeat("()", 100000) + " }}",
      "{{ 1" + repeat("|abs", 100000) + " }}",
      "{{ x" + repeat(" is x", 50000) + " }}",
      "{{ f" + repeat("(f", 100000) + " }}",
      repeat("{% if 1 %}", 40000),
      repeat("{% for x in y %}", 30000),
      repeat("{% macro m() %}", 30000),
      repeat("{% set x %}", 40000),
      repeat("{% filter upper %}", 25000),
      repeat("{% generation %}", 30000),
      "{% set " + repeat("(", 100000) + "a",
      std::string(600 << 10, 'x'),
      "{{ strftime_now('%1000000000d') }}{{ 1 / 0 }}",
      repeat("{% for x in range(100) %}", 10) + "x" + repeat("{% endfor %}", 10),
      repeat("{% for x in 'abcdefghij' %}", 10) + repeat("{% endfor %}", 10),
      "{{ range(100000) | sort(attribute='a.b.c') }}{{ range(100000) | map('tojson') | sort }}"
      "{{ range(100000) | map('string') | sort(reverse=true) | map('list') | sort | tojson }}"
      "{{ range(100000) | list | tojson(indent=100) | length }}",
      "{{ ('x' * 100000) | list | groupby(0) }}{{ range(100000) | groupby('a') | list }}" +
          repeated("{{ range(1000) | sum }}"),
      "{{ range(100000) | list | unique | list | unique | list | batch(1) | list | sort | unique "
      "}}",
      "{{ 'a' * 1000000 | int('1' * 1000000) }}{{ ('1' * 1000000) | int }}" +
          repeated("{{ '1' * 99 | int }}"),
      "{{ ('{' * 100001).format() }}",
      "{{ ('{:' * 100000).format(1) }}",
      "{{ ('{0.a' * 100000).format(1) }}",
      "{{ ('%s' * 100000) % range(100000) }}",
      "{{ '{:_}'.format(9) | center(9) | wordcount }}{{ '{:0999999999,}'.format(1) }}",
      "{{ ('a ' * 1000000) | title | truncate(999999999999) | indent(7) }}" +
          repeated("{{ ('a ' * 10000) | title }}"),
      "{% for i in range(100000) %}{% set x %}" + repeat("x", 100000) +
          "{% endset %}{{ x }}{% endfor %}",
  };
}

TEST(ChatTemplate, HostileTemplatesEndSoonWithANamedError) {
  constexpr double kMostSeconds = 1.0 * kSanitizerFactor;
  for (const std::string& source : hostile_templates()) {
    const Stopwatch watch;
    const Result<std::string> text = render(source);
    EXPECT_LT(watch.seconds(), kMostSeconds) << source.substr(0, 200);
    EXPECT_FALSE(text.ok()) << source.substr(0, 200);
    if (text.ok()) continue;
    const ErrorCode code = text.error().code;
    EXPECT_TRUE(code == ErrorCode::over_limit || code == ErrorCode::template_error ||
                code == ErrorCode::damaged)
        << source.substr(0, 200) << ": " << text.error().to_string();
  }
}

// Python's ways out of a sandbox lead nowhere: attributes with underscores do not exist.
TEST(ChatTemplate, HasNoHostObjects) {
  const Json variables = parse(R"({"messages": [{"role": "user"}]})");
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ messages.__class__.__base__ }}",
        "{{ messages[0].__init__.__globals__ }}", "{{ namespace.__init__.__globals__ }}",
        "{{ range.__self__.x }}", "{{ (1).__class__.__bases__ }}",
        "{{ '{0.__class__.x}'.format(1) }}", "{{ ''['__class__'].x }}",
        "{{ ('' | attr('__class__')).x }}",
        "{{ messages | map(attribute='__class__.__name__') | first | tojson }}",
        "{{ strftime_now.__globals__.os }}", "{{ cycler.__init__.__globals__.os.popen }}",
        "{{ self.__init__.x }}", "{% set ns = namespace(__class__=1) %}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}", "{{ messages[0].update({'a': 1}) }}",
        "{{ messages.append(1) }}", "{{ messages[0].__setitem__('a', 1) }}"}) {
    const Result<std::string> text = render(source, variables);
    EXPECT_FALSE(text.ok()) << source << " gave " << *text;
    EXPECT_TRUE(text.ok() || text.error().code == ErrorCode::template_error) << source;
  }
}

TEST(ChatTemplate, GiantLiteralsAreNamedErrors) {
  EXPECT_EQ(render("{{ " + repeat("9", 100000) + " }}").error().code, ErrorCode::unsupported);
  EXPECT_EQ(render("{{ 0x" + repeat("f", 100000) + " }}").error().code, ErrorCode::unsupported);
  EXPECT_EQ(text_of("{{ 1" + repeat("0", 1000) + ".0 > 1 }}"), "True");
  EXPECT_EQ(text_of("{{ '" + repeat("x", 400000) + "' | length }}"), "400000");
}

// Many operands in one expression are not deep.
TEST(ChatTemplate, LongChainsAreFine) {
  EXPECT_EQ(text_of("{{ 0" + repeat(" + 1", 1000) + " }}"), "1000");
  EXPECT_EQ(text_of("{{ ('a'" + repeat(" ~ 'b'", 1000) + ") | length }}"), "1001");
  EXPECT_EQ(text_of("{{ 0" + repeat(" or 0", 1000) + " or 7 }}"), "7");
  EXPECT_EQ(text_of("{% if 0 %}" + repeat("{% elif 0 %}", 1000) + "{% else %}end{% endif %}"),
            "end");
  EXPECT_EQ(text_of("{{ " + repeat("(", 60) + "1" + repeat(")", 60) + " }}"), "1");
}

TEST(ChatTemplate, LimitsAreTheCallers) {
  const Json none{Json::Object{}};
  const auto code_of = [&](std::string_view source, const TemplateLimits& limits) {
    const Result<std::string> text = render(source, none, limits);
    return text.ok() ? ErrorCode::internal : text.error().code;
  };
  EXPECT_EQ(code_of("{% for i in range(50) %}{{ i }}{% endfor %}", {.fuel = 100}),
            ErrorCode::over_limit);
  EXPECT_EQ(code_of("{{ 'abc' * 10 }}", {.max_output_bytes = 20}), ErrorCode::over_limit);
  EXPECT_EQ(code_of("{{ [[[1]]] }}", {.max_depth = 2}), ErrorCode::over_limit);
  EXPECT_EQ(code_of("{{ range(11) }}", {.max_range = 10}), ErrorCode::over_limit);
  EXPECT_TRUE(render("{{ range(10) | list }}", none, {.max_range = 10}).ok());
}

TEST(ChatTemplate, VariablesMustBeAnObject) {
  const Result<std::string> text = render("x", Json(Json::Array{}));
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, ErrorCode::invalid_input);
}

TEST(ChatTemplate, VariablesThatAreNotUtf8AreMadeSo) {
  Json variables;
  variables.set("x", Json("a\xff"));
  EXPECT_EQ(text_of("{{ x }}{{ x | length }}", variables),
            "a\xEF\xBF\xBD"
            "2");
}

TEST(ChatTemplate, SourceMustBeUtf8) {
  const auto compiled = ChatTemplate::parse("a\xff", "chat");
  ASSERT_FALSE(compiled.ok());
  EXPECT_EQ(compiled.error().code, ErrorCode::damaged);
}

TEST(ChatTemplate, OneTemplateRendersInSeveralThreads) {
  const auto compiled = ChatTemplate::parse(
      "{% macro m(x) %}{{ x | upper }}{% endmacro %}{% set ns = namespace(n=0) %}"
      "{% for x in xs %}{% set ns.n = ns.n + x %}{{ m('a' ~ x) }}{{ 'const' | title }}{% endfor %}"
      "{{ ns.n }}",
      "chat");
  ASSERT_TRUE(compiled.ok()) << compiled.error().to_string();
  const Json variables = parse(R"({"xs": [1, 2, 3]})");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) text = (*compiled)->render(variables, kNoon).value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, "A1ConstA2ConstA3Const6");
}

// A macro that outlives the loop it was made in sees variables that are gone, not freed memory.
TEST(ChatTemplate, MacrosAndLoopsMayOutliveTheirFrames) {
  EXPECT_EQ(
      text_of("{% set ns = namespace() %}{% for x in [1] %}{% macro m() %}[{{ x }}]{% endmacro %}"
              "{% set ns.m = m %}{% set ns.l = loop %}{% endfor %}{{ ns.m() }}{{ ns.l.index }}"),
      "[]1");
  EXPECT_EQ(text_of("{% set ns = namespace() %}{% for x in [1, 2] %}{{ loop.changed(loop) }}"
                    "{% set ns.l = loop %}{% endfor %}"),
            "TrueFalse");
}

}  // namespace
}  // namespace phial
