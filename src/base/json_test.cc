#include "base/json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace phial {
namespace {

Json must_parse(std::string_view text) {
  Result<Json> value = parse_json(text, "test.json");
  EXPECT_TRUE(value.ok()) << text << ": " << value.error().to_string();
  return value.ok() ? *value : Json();
}

ErrorCode error_of(std::string_view text, const JsonLimits& limits = {}) {
  ParseBudget budget(1 << 20);
  Result<Json> value = parse_json(text, "test.json", budget, limits);
  EXPECT_FALSE(value.ok()) << text;
  return value.ok() ? ErrorCode::internal : value.error().code;
}

TEST(Json, KeepsKindsAndOrder) {
  const Json v = must_parse(R"({"b":1,"a":[true,null,"x\u00e9",-2.5,18446744073709551615]})");
  ASSERT_TRUE(v.if_object());
  EXPECT_EQ(v.if_object()->at(0).first, "b");
  EXPECT_EQ(*v.find("b")->if_integer(), 1);
  const Json::Array& a = *v.find("a")->if_array();
  EXPECT_TRUE(*a[0].if_bool());
  EXPECT_TRUE(a[1].is_null());
  EXPECT_EQ(*a[2].if_string(), "x\u00e9");
  EXPECT_EQ(*a[3].if_real(), -2.5);
  EXPECT_EQ(*a[4].if_real(), 18446744073709551616.0);
  EXPECT_EQ(v.find("zzz"), nullptr);
}

TEST(Json, ScalarsAtTheTop) {
  EXPECT_EQ(*must_parse(" 7 ").if_integer(), 7);
  EXPECT_EQ(*must_parse("\"a\"").if_string(), "a");
  EXPECT_TRUE(must_parse("null").is_null());
}

TEST(Json, IntegersBeyond64BitsAreReals) {
  const Json v = must_parse(
      R"({"model_max_length": 1000000000000000019884624838656, "s": "12345678901234567890123\"4",
          "x": -123456789012345678901234567890, "y": 1234567890123456789})");
  EXPECT_EQ(*v.find("model_max_length")->if_real(), 1e30);
  EXPECT_EQ(*v.find("s")->if_string(), "12345678901234567890123\"4");
  EXPECT_EQ(*v.find("x")->if_real(), -123456789012345678901234567890.0);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "nul", "01", "1 2",
                           "'a'", "{\"a\":1} x", "[1}", "\"\x01\"", "+1", "NaN", "\"\\ud800\"x"}) {
    EXPECT_EQ(error_of(text), ErrorCode::damaged) << text;
  }
}

TEST(Json, RefusesDuplicateKeysInSmallAndLargeObjects) {
  EXPECT_EQ(error_of(R"({"a":1,"a":2})"), ErrorCode::damaged);
  std::string large = "{";
  for (int i = 0; i < 40; ++i) large += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_EQ(error_of(large + "\"k7\":1}"), ErrorCode::damaged);
}

TEST(Json, InvalidUtf8NamesTheByte) {
  Result<Json> v = parse_json("{\"a\":\"\xff\"}", "test.json");
  ASSERT_FALSE(v.ok());
  EXPECT_NE(v.error().message.find("byte 6"), std::string::npos) << v.error().message;
}

TEST(Json, DepthAndSizeAreBounded) {
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  EXPECT_EQ(error_of(deep), ErrorCode::over_limit);
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), ErrorCode::over_limit);
  EXPECT_EQ(error_of("[1,2,3]", {.max_bytes = 4}), ErrorCode::over_limit);
  ParseBudget tiny(70'000);
  std::string many = "[0";
  for (int i = 0; i < 5000; ++i) many += ",0";
  EXPECT_EQ(parse_json(many + "]", "x", tiny).error().code, ErrorCode::over_limit);
}

TEST(Json, WritesWhatItRead) {
  const char* text = R"({"a":[1,2.5,"é\n",null,true],"b":{}})";
  EXPECT_EQ(to_text(must_parse(text)), text);
  EXPECT_EQ(to_text(Json("\xff")), "\"\xEF\xBF\xBD\"");
}

TEST(Json, WritesRealsThatReadBackAsTheSameReals) {
  for (const double value :
       {0.0, 1.0, -2.5, 0.1, 1e30, 1e-7, 123456789.125, 5e-324, 1.7976931348623157e308}) {
    const Json read = must_parse(to_text(Json(value)));
    ASSERT_NE(read.if_real(), nullptr) << to_text(Json(value));
    EXPECT_EQ(*read.if_real(), value);
  }
  EXPECT_EQ(to_text(Json(std::numeric_limits<double>::infinity())), "null");
  EXPECT_EQ(to_text(Json(std::numeric_limits<double>::quiet_NaN())), "null");
}

TEST(Json, EscapesWhatAStringMayNotHold) {
  std::string every;
  for (int c = 0; c < 128; ++c) every += static_cast<char>(c);
  const std::string text = to_text(Json(every));
  EXPECT_EQ(std::ranges::count_if(text, [](unsigned char c) { return c < 0x20; }), 0);
  EXPECT_EQ(*must_parse(text).if_string(), every);
}

TEST(Json, IndentsOnAsking) {
  Json value = must_parse(R"({"a":[1,2],"b":{},"c":[]})");
  EXPECT_EQ(to_text(value, 2), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": []\n}");
}

}  // namespace
}  // namespace phial
