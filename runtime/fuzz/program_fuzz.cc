#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fewstep/error.h"
#include "fewstep/plan.h"
#include "shadow.h"

namespace {

// All ones; the programs that the corpus begins with name them and have their digests.
constexpr std::pair<std::string_view, int> kTensors[] = {{"coefficients", 27}, {"scales", 6}, {"tau", 3}, {"w", 3}};
constexpr std::string_view kShapes[] = {"3,9", "3,2", "3", "3"};

std::string in_json(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += {kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::vector<char> file_of(std::string_view program) {
  std::string header = "{\"__metadata__\":{\"fewstep.plan\":\"" + in_json(program) + "\"}";
  int begin = 0;
  for (std::size_t i = 0; i < std::size(kTensors); ++i) {
    const auto& [name, count] = kTensors[i];
    header += ",\"" + std::string(name) + "\":{\"dtype\":\"F32\",\"shape\":[" + std::string(kShapes[i]) +
              "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + 4 * count) + "]}";
    begin += 4 * count;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  std::vector<char> out(8 + header.size() + static_cast<std::size_t>(begin));
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  std::memcpy(out.data() + 8, header.data(), header.size());
  for (std::size_t at = 8 + header.size(); at < out.size(); at += 4) {
    constexpr float kOne = 1;
    std::memcpy(out.data() + at, &kOne, 4);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> file = file_of({reinterpret_cast<const char*>(data), size});
  try {
    walk(fewstep::parse_plan(std::as_bytes(std::span(file)), nullptr));
  } catch (const fewstep::PlanError&) {
  }
  return 0;
}
