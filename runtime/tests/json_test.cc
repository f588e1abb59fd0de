#include "plan/json.h"

#include <cmath>
#include <string>
#include <vector>

#include "plan/utf8.h"
#include "refusal.h"

namespace {

using fewstep::Json;

Json parse(std::string_view text, fewstep::JsonLimits limits = {.bytes = 1 << 20}) {
  return fewstep::parse_json(text, "json", limits);
}

template <typename T>
T parsed(std::string_view text) {
  const Json json = parse(text);
  CHECK(json.as<T>() != nullptr);
  return *json.as<T>();
}

void test_scalars() {
  CHECK(parsed<std::int64_t>("0") == 0);
  CHECK(parsed<std::int64_t>(" 9223372036854775807\n") == INT64_MAX);
  CHECK(parsed<std::int64_t>("-9223372036854775808") == INT64_MIN);
  CHECK(parsed<double>("1.0") == 1);
  CHECK(parsed<double>("1e2") == 100);
  CHECK(parsed<double>("-0.0") == 0 && std::signbit(parsed<double>("-0.0")));
  CHECK(parsed<double>("2.2250738585072014E-308") == 2.2250738585072014e-308);
  CHECK(parsed<bool>("true") && !parsed<bool>("false"));
  CHECK(parse("null").as<std::nullptr_t>() != nullptr);
}

void test_strings() {
  CHECK(parsed<std::string>(R"("")").empty());
  CHECK(parsed<std::string>(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(parsed<std::string>(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(parsed<std::string>("\"\xc3\xa9\"") == "\xc3\xa9");
  CHECK(parsed<std::string>(R"("\u0000")") == std::string(1, '\0'));
}

void test_places_are_those_of_the_text() {
  const std::string text = R"( {"a": [1, 2.5 ], "b" : {} } )";
  const Json json = parse(text);
  CHECK(text.substr(json.begin, json.end - json.begin) == R"({"a": [1, 2.5 ], "b" : {} })");
  const Json& list = json.as<Json::Object>()->at(0).value;
  CHECK(text.substr(list.begin, list.end - list.begin) == "[1, 2.5 ]");
  CHECK(list.as<Json::Array>()->size() == 2);
  CHECK(json.as<Json::Object>()->at(1).key == "b");
}

void test_what_is_no_json_is_refused() {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the end"},
      {" ", "the end"},
      {"nul", "expected a value"},
      {"NaN", "expected a value"},
      {"-Infinity", "expected a value"},
      {"+1", "expected a value"},
      {".5", "expected a value"},
      {"-", "expected a value"},
      {"01", "leading zero"},
      {"-01", "leading zero"},
      {"1.", "after its point"},
      {"1e", "exponent"},
      {"1e+", "exponent"},
      {"-0", "-0"},
      {"9223372036854775808", "beyond 64 bits"},
      {"1e309", "range of a double"},
      {"-1e309", "range of a double"},
      {"1 2", "expected the end"},
      {"[1,]", "expected a value"},
      {"[1 2]", "\",\" or \"]\""},
      {"[1", "the end"},
      {"{\"a\":1,}", "a key"},
      {"{a:1}", "a key"},
      {"{\"a\" 1}", "\":\""},
      {"{\"a\":1 \"b\":2}", "\",\" or \"}\""},
      {"{\"a\":1,\"b\":2,\"a\":3}", "appears twice"},
      {"{\"a\":1,\"\\u0061\":2}", "appears twice"},
      {"\"a", "without an end"},
      {"\"a\nb\"", "control character"},
      {"\"\\x\"", "unknown escape"},
      {"\"\\", "unknown escape"},
      {"\"\\u12g4\"", "hexadecimal"},
      {"\"\\u12", "hexadecimal"},
      {"\"\\u+123\"", "hexadecimal"},
      {"\"\\ud800\"", "lone surrogate"},
      {"\"\\ud800\\u0041\"", "lone surrogate"},
      {"\"\\udc00\"", "lone surrogate"},
      {std::string("1\0", 2), "expected the end"},
      {"\xef\xbb\xbf"
       "1",
       "expected a value"},
      {"\"\xff\"", "not UTF-8"},
  };
  for (const auto& [text, part] : cases) {
    const std::string message = refusal([&] { parse(text); });
    CHECK(has(message, part));
    CHECK(message.starts_with("json: byte ") && !has(message, "\n"));
  }
}

void test_limits() {
  CHECK(has(refusal([] { parse("[[[[]]]]", {.bytes = 100, .depth = 3}); }), "deeper than 3"));
  parse("[[[]]]", {.bytes = 100, .depth = 3});
  CHECK(has(refusal([] { parse("[1,2,3]", {.bytes = 100, .values = 3}); }), "more than 3"));
  parse("[1,2]", {.bytes = 100, .values = 3});
  CHECK(has(refusal([] { parse("[1,2]", {.bytes = 4}); }), "at most 4 bytes"));
  const std::string deep(1 << 20, '[');
  CHECK(has(refusal([&] { parse(deep); }), "deeper than 16"));
}

void test_utf8() {
  const std::vector<std::pair<std::string, bool>> cases = {
      {"\x7f", true},
      {"\x80", false},
      {"\xc1\xbf", false},
      {"\xc2\x80", true},
      {"\xc2", false},
      {"\xe0\x9f\xbf", false},
      {"\xe0\xa0\x80", true},
      {"\xed\x9f\xbf", true},
      {"\xed\xa0\x80", false},
      {"\xef\xbf\xbf", true},
      {"\xe2\x82", false},
      {"\xf0\x8f\xbf\xbf", false},
      {"\xf0\x90\x80\x80", true},
      {"\xf4\x8f\xbf\xbf", true},
      {"\xf4\x90\x80\x80", false},
      {"\xf5\x80\x80\x80", false},
      {"\xe2\x28\xa1", false},
  };
  for (const auto& [bytes, is_legal] : cases) {
    for (const std::string before : {"", "1234567", "123456789"}) {
      const std::string text = before + bytes + "0123456789";
      CHECK(fewstep::utf8_end(text) == (is_legal ? text.size() : before.size()));
    }
  }
}

void test_quotes_are_one_line_of_ascii() {
  CHECK(fewstep::in_quotes("a b") == "\"a b\"");
  CHECK(fewstep::in_quotes("\n\"\\\xc3") == "\"\\x0a\\x22\\x5c\\xc3\"");
  const std::string cut = fewstep::in_quotes(std::string(81, 'a'));
  CHECK(cut.size() == 85 && cut.ends_with("a...\""));
}

}  // namespace

int main() {
  test_scalars();
  test_strings();
  test_places_are_those_of_the_text();
  test_what_is_no_json_is_refused();
  test_limits();
  test_utf8();
  test_quotes_are_one_line_of_ascii();
}
