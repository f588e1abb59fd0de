#include "plan/program_json.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "plan/adapters_json.h"
#include "plan/json.h"
#include "plan/op_json.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20, kMostBuffers = 1 << 20, kMostValues = 1 << 20;
constexpr std::size_t kMostOps = 1 << 18, kMostStages = 128, kMostNames = 64, kMostRank = 8, kMostTensors = 1 << 17;
constexpr std::int64_t kMostArena = std::int64_t{1} << 40, kMostElements = std::int64_t{1} << 40;
constexpr std::int64_t kMostAxis = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMostCount = 1000;
constexpr std::int64_t kVersion = 1;

Dtype dtype(const Place& place, const Json& json) {
  const std::string& name = text(place, json, 16);
  if (name == "f32") return Dtype::f32;
  if (name == "f16") return Dtype::f16;
  if (name == "bf16") return Dtype::bf16;
  if (name == "i64") return Dtype::i64;
  if (name == "i32") return Dtype::i32;
  if (name == "u8") return Dtype::u8;
  place.fail("f32, f16, bf16, i64, i32 or u8", json);
}

void check_version(Fields& fields) {
  if (fields.text("format", 64) != "fewstep-plan") {
    Place(fields.place(), "format").fail("expected \"fewstep-plan\", got " + in_quotes(fields.text("format", 64)));
  }
  const std::int64_t version = fields.integer("version", 0, kMostAxis);
  if (version != kVersion) {
    Place(fields.place(), "version")
        .fail("this fewstep reads plans of version 1, got " + std::to_string(version) +
              ": compile the bundle again, or " + (version > kVersion ? "update fewstep" : "use the fewstep it is of"));
  }
}

void read_target(const Place& place, const Json& json, Plan& plan) {
  Fields fields(place, json);
  plan.device = fields.text("device", 16);
  if (plan.device == "cuda") {
    plan.architectures = integers(Place(place, "architectures"), fields.take("architectures"), 1, 16, 50, 999);
    if (const Json* ptx = fields.take_if("ptx")) plan.ptx = integer(Place(place, "ptx"), *ptx, 50, 999);
  } else if (plan.device != "cpu") {
    place.fail("expected device \"cpu\" or \"cuda\", got " + in_quotes(plan.device));
  }
  fields.done();
}

std::vector<std::string> read_digests(const Place& place, const Json& json, const Plan& plan) {
  std::vector<std::string> out(plan.weights.size());
  const Json::Object& members = object(place, json, kMostTensors);
  for (const Json::Member& member : members) {
    const std::string title = in_quotes(member.key);
    const Place here(place, title);
    const std::string& digest = text(here, member.value, 64);
    if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
      here.fail("a SHA-256 as 64 hexadecimal digits", member.value);
    }
    out[static_cast<std::size_t>(find_weight(here, member.key, plan))] = digest;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].empty()) place.fail("tensor " + in_quotes(plan.weights[i].name) + " has none");
  }
  return out;
}

Value read_value(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  Value out;
  out.dtype = dtype(Place(place, "type"), fields.take("type"));
  out.shape = integers(Place(place, "shape"), fields.take("shape"), 0, kMostRank, 1, kMostAxis);
  out.strides = integers(Place(place, "strides"), fields.take("strides"), 0, kMostRank, 0, kMostElements);
  if (out.shape.size() != out.strides.size()) {
    place.fail("expected a stride for each of " + std::to_string(out.shape.size()) + " axes, got " +
               std::to_string(out.strides.size()));
  }
  out.offset = fields.integer("offset", 0, kMostElements);
  const auto moved = [&](std::string_view key) {
    const Json* json_of = fields.take_if(key);
    return json_of == nullptr ? 0 : integer(Place(place, key), *json_of, 0, kMostElements);
  };
  out.row = moved("row");
  out.step = moved("step");
  const Json *buffer = fields.take_if("buffer"), *weight = fields.take_if("weight");
  if ((buffer == nullptr) == (weight == nullptr)) place.fail("expected either \"buffer\" or \"weight\"");
  if (buffer != nullptr) {
    const auto last = static_cast<std::int64_t>(plan.buffers.size()) - 1;
    out.buffer = static_cast<std::int32_t>(integer(Place(place, "buffer"), *buffer, 0, last));
  } else {
    out.weight = find_weight(Place(place, "weight"), text(Place(place, "weight"), *weight, kMostNode), plan);
  }
  fields.done();
  return out;
}

std::map<std::string, std::int32_t> read_names(const Place& place, const Json& json, const Plan& plan) {
  std::map<std::string, std::int32_t> out;
  for (const Json::Member& member : object(place, json, kMostNames)) {
    const std::string title = in_quotes(member.key);
    const Place here(place, title);
    if (member.key.size() > kMostNode) here.fail("expected a name of at most " + std::to_string(kMostNode) + " bytes");
    out.emplace(member.key, read_index(here, member.value, plan, false));
  }
  return out;
}

ScheduleTable read_schedule(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  ScheduleTable out;
  out.rows = fields.integer("rows", 1, kMostCount * kMostCount);
  const Place counts(place, "counts");
  for (const Json::Member& member : object(counts, fields.take("counts"), kMostNames)) {
    const std::string title = in_quotes(member.key);
    const Place here(counts, title);
    std::int64_t count = 0;
    const char* end = member.key.data() + member.key.size();
    const auto [rest, error] = std::from_chars(member.key.data(), end, count);
    if (error != std::errc() || rest != end || member.key.front() == '0' || count < 1 || count > kMostCount) {
      here.fail("expected a step count from 1 to " + std::to_string(kMostCount));
    }
    out.counts.emplace(count, integer(here, member.value, 0, out.rows - count));
  }
  if (out.counts.empty()) counts.fail("expected at least one step count");
  const auto rows = [&](std::string_view key) {
    const Place here(place, key);
    Fields row(here, fields.take(key));
    const ScheduleRows found{read_index(Place(here, "value"), row.take("value"), plan, false),
                             find_weight(Place(here, "tensor"), row.text("tensor", kMostNode), plan)};
    row.done();
    return found;
  };
  out.tau = rows("tau");
  out.coefficients = rows("coefficients");
  out.scales = rows("scales");
  fields.done();
  return out;
}

// What a caller is told: that it is there, since those who read it rely on that.
void check_model(const Place& place, const Json& json, bool is_generation) {
  Fields fields(place, json);
  for (const std::string_view key : {"name", "family", "bundle"}) static_cast<void>(fields.text(key, 256));
  if (is_generation) static_cast<void>(object(Place(place, "manifest"), fields.take("manifest"), 64));
  fields.done();
}

std::vector<Stage> read_stages(const Place& place, const Json& json, const Plan& plan) {
  std::vector<Stage> out;
  std::size_t count = 0;
  const Json::Array& stages = array(place, json, kMostStages);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Place here(place, i);
    Fields fields(here, stages[i]);
    Stage stage;
    stage.name = fields.text("name", 64);
    stage.steps = fields.integer("steps", 0, kMostCount);
    const Place ops_place(here, "ops");
    const Json::Array& ops = array(ops_place, fields.take("ops"), kMostOps);
    count += ops.size();
    if (count > kMostOps) place.fail("expected at most " + std::to_string(kMostOps) + " operations");
    for (std::size_t k = 0; k < ops.size(); ++k) stage.ops.push_back(read_op(Place(ops_place, k), ops[k], plan));
    fields.done();
    out.push_back(std::move(stage));
  }
  return out;
}

}  // namespace

Draft read_program(std::string_view document, std::vector<Weight> tensors) {
  const Json root = parse_json(document, "program", {.bytes = kMostBytes});
  const Place place("program");
  Fields fields(place, root);
  check_version(fields);
  Draft out;
  Plan& plan = out.plan;
  plan.weights = std::move(tensors);
  std::sort(plan.weights.begin(), plan.weights.end(), [](const Weight& a, const Weight& b) { return a.name < b.name; });
  const auto source = [&](const Json& json) { return std::string(document.substr(json.begin, json.end - json.begin)); };

  static_cast<void>(fields.text("made_by", 256));
  read_target(Place(place, "target"), fields.take("target"), plan);
  plan.precision = fields.text("precision", 16);
  if (plan.precision != "float32" && plan.precision != "float16" && plan.precision != "bfloat16") {
    Place(place, "precision").fail("expected float32, float16 or bfloat16, got " + in_quotes(plan.precision));
  }
  const Json& model = fields.take("model");
  plan.model = source(model);
  plan.batch = fields.integer("batch", 1, 1 << 20);
  out.digests = read_digests(Place(place, "digests"), fields.take("digests"), plan);
  plan.arena = fields.integer("arena", 0, kMostArena);
  const Place buffers(place, "buffers");
  const Json::Array& pairs = array(buffers, fields.take("buffers"), kMostBuffers);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto pair = integers(Place(buffers, i), pairs[i], 2, 2, 0, kMostArena);
    plan.buffers.push_back({pair[0], pair[1]});
  }
  const Place values(place, "values");
  const Json::Array& items = array(values, fields.take("values"), kMostValues);
  for (std::size_t i = 0; i < items.size(); ++i) plan.values.push_back(read_value(Place(values, i), items[i], plan));
  plan.inputs = read_names(Place(place, "inputs"), fields.take("inputs"), plan);
  plan.outputs = read_names(Place(place, "outputs"), fields.take("outputs"), plan);
  if (const Json* schedule = fields.take_if("schedule")) {
    plan.schedule = read_schedule(Place(place, "schedule"), *schedule, plan);
  }
  if (const Json* adapters = fields.take_if("adapters")) {
    plan.adapters = read_adapters(Place(place, "adapters"), *adapters, plan);
    plan.adapters->json = source(*adapters);
    plan.replaceable = weights_of(*plan.adapters);
  }
  plan.stages = read_stages(Place(place, "stages"), fields.take("stages"), plan);
  static_cast<void>(array(Place(place, "passes"), fields.take("passes"), 1024));
  if (const Json* certificate = fields.take_if("certificate")) {
    static_cast<void>(object(Place(place, "certificate"), *certificate, 64));
    plan.certificate = source(*certificate);
  }
  fields.done();
  check_model(Place(place, "model"), model, plan.schedule.has_value());
  return out;
}

}  // namespace fewstep
