#include "cuda/description.h"

#include "json_string.h"

namespace fewstep::cuda {
namespace {

class Object {
 public:
  Object& add(const std::string& key, const std::string& json) {
    text_ += (text_.empty() ? "" : ", ") + json_string(key) + ": " + json;
    return *this;
  }
  template <typename T>
  Object& add(const std::string& key, T number) {
    return add(key, std::to_string(number));
  }
  std::string json() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

}  // namespace

std::string describe_device(const Described& device) {
  Object launches;
  for (const auto& [steps, count] : device.runs.launches()) launches.add(std::to_string(steps), count);
  return Object()
      .add("device", json_string("cuda"))
      .add("name", json_string(device.context.name()))
      .add("index", device.context.index())
      .add("architecture", device.context.architecture())
      .add("launches_for", device.architecture.number)
      .add("driver", device.context.driver().version())
      .add("arena", device.addresses.arena_bytes())
      .add("weights", device.addresses.weight_bytes())
      .add("memory_pool", std::string(device.context.has_pools() ? "true" : "false"))
      .add("pinned", device.inputs.bytes() + device.outputs.bytes())
      .add("modules", device.stages.modules().count())
      .add("compiled_by_driver", device.stages.modules().compiled())
      .add("library_products", device.stages.library_products())
      .add("launches", launches.json())
      .add("input_copies", device.inputs.copies())
      .add("output_copies", device.outputs.copies())
      .add("captures", device.runs.captures())
      .add("failed_captures", device.runs.failed_captures())
      .add("graph_launches", device.runs.graph_launches())
      .add("fallbacks", device.runs.fallbacks())
      .add("message", json_string(device.runs.last_failure()))
      .json();
}

}  // namespace fewstep::cuda
