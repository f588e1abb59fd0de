#include "mutator/plan_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fewstep/error.h"
#include "json_string.h"
#include "plan/container.h"
#include "plan/sha256.h"

namespace {

using fewstep::Json;

constexpr std::string_view kTypes[] = {"F32", "F16", "BF16", "I64", "I32", "U8"};  // of Dtype

}  // namespace

std::optional<PlanFile> take_apart(std::span<const std::byte> file) {
  try {
    const fewstep::Container container = fewstep::read_container(file);
    const auto program = container.metadata.find("fewstep.plan");
    if (program == container.metadata.end()) return std::nullopt;
    PlanFile out{fewstep::parse_json(program->second, "program", {.bytes = program->second.size()}), {}};
    for (const fewstep::Weight& weight : container.tensors) {
      const auto* begin = reinterpret_cast<const char*>(weight.bytes.data());
      out.tensors.push_back({weight.name, weight.dtype, weight.shape, {begin, begin + weight.bytes.size()}});
    }
    return out;
  } catch (const fewstep::PlanError&) {
    return std::nullopt;
  }
}

std::string put_together(std::string_view program, const std::vector<Tensor>& tensors) {
  std::string header = "{\"__metadata__\":{\"fewstep.plan\":" + fewstep::json_string(program) + "}", data;
  for (const Tensor& tensor : tensors) {
    std::string shape;
    for (const std::int64_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    header += "," + fewstep::json_string(tensor.name) + ":{\"dtype\":\"" +
              std::string(kTypes[static_cast<std::size_t>(tensor.dtype)]) + "\",\"shape\":[" + shape + "]" +
              ",\"data_offsets\":[" + std::to_string(data.size()) + ",";
    data += tensor.bytes;
    header += std::to_string(data.size()) + "]}";
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

void seal(PlanFile& file) {
  Json::Object digests;
  for (const Tensor& tensor : file.tensors) {
    const auto digest = fewstep::sha256(std::as_bytes(std::span(tensor.bytes)));
    Json text;
    text.value = fewstep::hex(digest);
    digests.push_back({tensor.name, std::move(text)});
  }
  auto* program = std::get_if<Json::Object>(&file.program.value);
  if (program == nullptr) return;
  const auto found = std::find_if(program->begin(), program->end(),
                                  [](const Json::Member& member) { return member.key == "digests"; });
  if (found != program->end()) found->value.value = std::move(digests);
}
