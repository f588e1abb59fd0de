#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fewstep {

// A JSON value. begin and end are its first byte in the document and the byte after its last.
struct Json {
  struct Member;
  using Array = std::vector<Json>;
  using Object = std::vector<Member>;  // in the document's order, every key once

  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value;
  std::uint32_t begin = 0, end = 0;

  template <typename T>
  const T* as() const noexcept {
    return std::get_if<T>(&value);
  }
};

struct Json::Member {
  std::string key;
  Json value;
};

struct JsonLimits {
  std::size_t bytes = 0, values = 1 << 22;
  int depth = 16;
};

// Reads a whole UTF-8 document without JSON's loose ends, so that every reader sees the same values: duplicate keys,
// -0, numbers beyond int64 or double, lone surrogates and NaN are refused. A number with neither a point nor an
// exponent is an int64. Throws PlanError that begins with `name` and says at which byte.
Json parse_json(std::string_view document, std::string_view name, const JsonLimits& limits);

// What a value is, for an error: "null", "a boolean", "an integer", ...
std::string_view kind_of(const Json& json) noexcept;

}  // namespace fewstep
