#include "mutator/json_writer.h"

#include <charconv>
#include <type_traits>

#include "json_string.h"

namespace {

using fewstep::Json;

void write(const Json& json, std::string& out);

void write_real(double value, std::string& out) {
  char digits[32];
  const std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  out += text;
  if (text.find_first_of(".e") == std::string::npos) out += ".0";
}

template <typename Items, typename Write>
void write_list(const Items& items, char open, char close, std::string& out, Write write_item) {
  out += open;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    write_item(items[i]);
  }
  out += close;
}

void write(const Json& json, std::string& out) {
  std::visit(
      [&](const auto& value) {
        using Type = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Type, std::nullptr_t>) {
          out += "null";
        } else if constexpr (std::is_same_v<Type, bool>) {
          out += value ? "true" : "false";
        } else if constexpr (std::is_same_v<Type, std::int64_t>) {
          out += std::to_string(value);
        } else if constexpr (std::is_same_v<Type, double>) {
          write_real(value, out);
        } else if constexpr (std::is_same_v<Type, std::string>) {
          out += fewstep::json_string(value);
        } else if constexpr (std::is_same_v<Type, Json::Array>) {
          write_list(value, '[', ']', out, [&](const Json& item) { write(item, out); });
        } else {
          write_list(value, '{', '}', out, [&](const Json::Member& member) {
            out += fewstep::json_string(member.key) + ':';
            write(member.value, out);
          });
        }
      },
      json.value);
}

}  // namespace

std::string to_text(const fewstep::Json& json) {
  std::string out;
  write(json, out);
  return out;
}
