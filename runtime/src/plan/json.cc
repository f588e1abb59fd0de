#include "plan/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include "fewstep/error.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

class Parser {
 public:
  Parser(std::string_view document, std::string_view name, const JsonLimits& limits)
      : text_(document), name_(name), limits_(limits) {}

  Json document() {
    if (text_.size() > limits_.bytes) {
      fail(0, "expected at most " + std::to_string(limits_.bytes) + " bytes, got " + std::to_string(text_.size()));
    }
    if (const std::size_t end = utf8_end(text_); end != text_.size()) fail(end, "not UTF-8");
    Json out = value(0);
    space();
    if (at_ != text_.size()) fail(at_, "expected the end, got " + in_quotes(text_.substr(at_, 1)));
    return out;
  }

 private:
  [[noreturn]] void fail(std::size_t at, const std::string& what) const {
    throw PlanError(std::string(name_) + ": byte " + std::to_string(at) + ": " + what);
  }

  void space() noexcept {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }

  char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool accept(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c, const char* what) {
    if (!accept(c)) {
      fail(at_, std::string("expected ") + what + ", got " +
                    (at_ == text_.size() ? "the end" : in_quotes(text_.substr(at_, 1))));
    }
  }

  bool accept_word(std::string_view word) noexcept {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json value(int depth) {
    space();
    if (++values_ > limits_.values) fail(at_, "more than " + std::to_string(limits_.values) + " values");
    Json out;
    out.begin = static_cast<std::uint32_t>(at_);
    if (peek() == '{' || peek() == '[') {
      if (depth == limits_.depth) fail(at_, "nested deeper than " + std::to_string(limits_.depth) + " levels");
      if (peek() == '{') {
        out.value = object(depth + 1);
      } else {
        out.value = array(depth + 1);
      }
    } else if (peek() == '"') {
      out.value = string();
    } else if (accept_word("true")) {
      out.value = true;
    } else if (accept_word("false")) {
      out.value = false;
    } else if (accept_word("null")) {
      out.value = nullptr;
    } else {
      out.value = number(out);
    }
    out.end = static_cast<std::uint32_t>(at_);
    return out;
  }

  Json::Array array(int depth) {
    Json::Array out;
    ++at_;
    if (accept(']')) return out;
    do {
      out.push_back(value(depth));
    } while (accept(','));
    expect(']', "\",\" or \"]\"");
    return out;
  }

  Json::Object object(int depth) {
    Json::Object out;
    const std::size_t begin = at_++;
    if (accept('}')) return out;
    do {
      space();
      if (peek() != '"') fail(at_, "expected a key in quotes");
      std::string key = string();
      expect(':', "\":\"");
      out.push_back({std::move(key), value(depth)});
    } while (accept(','));
    expect('}', "\",\" or \"}\"");
    std::vector<std::string_view> keys;
    keys.reserve(out.size());
    for (const Json::Member& member : out) keys.emplace_back(member.key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) fail(begin, "key " + in_quotes(*twice) + " appears twice in one object");
    return out;
  }

  std::string string() {
    std::string out;
    const std::size_t begin = at_++;
    while (true) {
      std::size_t run = at_;
      while (run < text_.size() && text_[run] != '"' && text_[run] != '\\' &&
             static_cast<unsigned char>(text_[run]) >= 0x20)
        ++run;
      out.append(text_, at_, run - at_);
      at_ = run;
      if (at_ == text_.size()) fail(begin, "a string without an end");
      if (text_[at_] == '"') break;
      if (text_[at_] != '\\') fail(at_, "a control character in a string");
      escape(out);
    }
    ++at_;
    return out;
  }

  void escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const std::size_t begin = at_++;
    const std::size_t which = at_ < text_.size() ? kNames.find(text_[at_]) : std::string_view::npos;
    if (which != std::string_view::npos) {
      out.push_back(kMeanings[which]);
      ++at_;
      return;
    }
    if (peek() != 'u') fail(begin, "an unknown escape in a string");
    char32_t code = hex(begin);
    if (code >= 0xdc00 && code <= 0xdfff) fail(begin, "a lone surrogate");
    if (code >= 0xd800 && code <= 0xdbff) {
      if (peek() != '\\' || text_.substr(at_, 2) != "\\u") fail(begin, "a lone surrogate");
      ++at_;
      const char32_t low = hex(begin);
      if (low < 0xdc00 || low > 0xdfff) fail(begin, "a lone surrogate");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, code);
  }

  // Four digits after the "u" at at_.
  char32_t hex(std::size_t begin) {
    const std::string_view digits = text_.substr(++at_, 4);
    std::uint32_t code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (error != std::errc() || digits.size() != 4 || end != digits.data() + 4) {
      fail(begin, "expected four hexadecimal digits after \\u");
    }
    at_ += 4;
    return code;
  }

  std::size_t digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  decltype(Json::value) number(const Json& place) {
    const std::size_t begin = at_;
    if (peek() == '-') ++at_;
    const bool leading_zero = peek() == '0';
    const std::size_t whole = digits();
    if (whole == 0) fail(begin, at_ == text_.size() ? "expected a value, got the end" : "expected a value");
    if (leading_zero && whole > 1) fail(begin, "a number with a leading zero");
    bool is_integer = true;
    if (peek() == '.') {
      ++at_;
      is_integer = false;
      if (digits() == 0) fail(begin, "a number without digits after its point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      is_integer = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (digits() == 0) fail(begin, "a number without digits in its exponent");
    }
    const char *first = text_.data() + place.begin, *last = text_.data() + at_;
    if (is_integer) {
      std::int64_t out = 0;
      if (std::from_chars(first, last, out).ec != std::errc()) fail(begin, "an integer beyond 64 bits");
      if (out == 0 && *first == '-') fail(begin, "-0 is an integer to some readers and a fraction to others");
      return out;
    }
    double out = 0;
    const std::errc error = std::from_chars(first, last, out).ec;
    if (error != std::errc() || !std::isfinite(out)) fail(begin, "a number beyond the range of a double");
    return out;
  }

  std::string_view text_, name_;
  const JsonLimits& limits_;
  std::size_t at_ = 0, values_ = 0;
};

}  // namespace

Json parse_json(std::string_view document, std::string_view name, const JsonLimits& limits) {
  return Parser(document, name, limits).document();
}

std::string_view kind_of(const Json& json) noexcept {
  constexpr std::string_view kNames[] = {"null",     "a boolean", "an integer", "a number",
                                         "a string", "a list",    "an object"};
  return kNames[json.value.index()];
}

}  // namespace fewstep
