#include "plan/op_json.h"

#include <algorithm>
#include <limits>

#include "plan/op_table.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostInstructions = 256, kMostAttributeItems = 16, kMostText = 64;
constexpr std::size_t kMostLaunches = 1 << 14;  // of each architecture some for each product or group, at most 256

std::vector<std::int32_t> operands(const Place& place, const Json& json, const Plan& plan, std::size_t fewest,
                                   std::size_t most, bool nullable) {
  const Json::Array& items = array(place, json, most);
  if (items.size() < fewest) {
    place.fail("expected at least " + std::to_string(fewest) + " values, got " + std::to_string(items.size()));
  }
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    out.push_back(read_index(Place(place, i), items[i], plan, nullable && i >= fewest));
  }
  return out;
}

Instruction instruction(const Place& place, const Json& json, std::size_t registers) {
  const Json::Array& items = array(place, json, 4);
  if (items.empty()) place.fail("expected an instruction, got an empty list");
  Instruction out;
  out.name = text(Place(place, 0), items[0], kMostText);
  const int count = instruction_operands(out.name);
  if (count < 0) place.fail("unknown instruction " + in_quotes(out.name));
  const std::size_t expected = out.name == "const" ? 1 : static_cast<std::size_t>(count);
  if (items.size() != 1 + expected) {
    place.fail("expected " + std::to_string(expected) + " operands of " + in_quotes(out.name) + ", got " +
               std::to_string(items.size() - 1));
  }
  if (out.name == "const") {
    out.constant = real(Place(place, 1), items[1]);
    return out;
  }
  for (std::size_t i = 1; i < items.size(); ++i) {
    const std::int64_t last = static_cast<std::int64_t>(registers) - 1;
    out.operands.push_back(static_cast<std::int32_t>(integer(Place(place, i), items[i], 0, last)));
  }
  return out;
}

std::vector<Instruction> code(const Place& place, const Json& json, std::size_t inputs) {
  const Json::Array& items = array(place, json, kMostInstructions);
  if (items.empty() && inputs != 1) {
    place.fail("expected one input of a map without instructions, got " + std::to_string(inputs));
  }
  std::vector<Instruction> out;
  for (std::size_t i = 0; i < items.size(); ++i) out.push_back(instruction(Place(place, i), items[i], inputs + i));
  return out;
}

Attribute attribute(const Place& place, const Json& json, AttributeType type, std::size_t inputs) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  switch (type) {
    case AttributeType::integer:
      return integer(place, json, 0, kMost);
    case AttributeType::real:
      return real(place, json);
    case AttributeType::text:
      return text(place, json, kMostText);
    case AttributeType::integers:
      return integers(place, json, 0, kMostAttributeItems, 0, kMost);
    case AttributeType::code:
      break;
  }
  return code(place, json, inputs);
}

}  // namespace

std::int32_t find_weight(const Place& place, const std::string& name, const Plan& plan) {
  const auto found = std::lower_bound(plan.weights.begin(), plan.weights.end(), name,
                                      [](const Weight& weight, const std::string& key) { return weight.name < key; });
  if (found == plan.weights.end() || found->name != name) place.fail("the file has no tensor " + in_quotes(name));
  return static_cast<std::int32_t>(found - plan.weights.begin());
}

std::int32_t read_index(const Place& place, const Json& json, const Plan& plan, bool nullable) {
  if (nullable && json.as<std::nullptr_t>() != nullptr) return -1;
  return static_cast<std::int32_t>(integer(place, json, 0, static_cast<std::int64_t>(plan.values.size()) - 1));
}

Op read_op(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  Op out;
  out.kind = fields.text("op", kMostNode);
  out.name = fields.text("name", kMostNode);
  const std::string title = in_quotes(out.name);
  const Place here(place, title);
  const OpRow* row = find_op(out.kind);
  if (row == nullptr) {
    here.fail("operation " + in_quotes(out.kind) +
              " is not one that this version runs: update fewstep, or run the bundle with the onnxruntime backend");
  }
  const bool is_map = out.kind == "map";
  out.inputs =
      operands(Place(here, "inputs"), fields.take("inputs"), plan, row->fewest_inputs, row->most_inputs, !is_map);
  out.outputs =
      operands(Place(here, "outputs"), fields.take("outputs"), plan, row->fewest_outputs, row->most_outputs, false);
  const Place attributes_place(here, "attributes");
  Fields attributes(attributes_place, fields.take("attributes"));
  for (const auto& [name, type] : row->attributes) {
    out.attributes.emplace(name,
                           attribute(Place(attributes_place, name), attributes.take(name), type, out.inputs.size()));
  }
  attributes.done();
  if (const Json* launches = fields.take_if("launches")) {
    const Place launches_place(here, "launches");
    const Json::Array& items = array(launches_place, *launches, kMostLaunches);
    for (std::size_t i = 0; i < items.size(); ++i) {
      out.launches.push_back(read_launch(Place(launches_place, i), items[i], plan));
    }
  }
  fields.done();
  return out;
}

}  // namespace fewstep
