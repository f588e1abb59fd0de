#include "fewstep/generation.h"

#include <algorithm>
#include <stdexcept>

#include "fewstep/error.h"
#include "fewstep/noise.h"
#include "plan/fields.h"

namespace fewstep {
namespace {

constexpr std::size_t kMost = 1 << 16;

const Json& member(const Place& place, const Json& json, std::string_view key) {
  for (const Json::Member& member : object(place, json, kMost)) {
    if (member.key == key) return member.value;
  }
  place.fail("expected a key \"" + std::string(key) + "\"");
}

LabelTable table_of(const Place& place, const Json& json) {
  LabelTable table{text(place, member(place, json, "name"), kMost), {}, 0};
  for (const Json& value : array(place, member(place, json, "values"), kMost)) {
    table.values.push_back(text(place, value, kMost));
  }
  table.null = integer(place, member(place, json, "null"), 0, static_cast<std::int64_t>(kMost));
  if (table.values.empty()) place.fail("expected at least one value");
  return table;
}

void expect(std::size_t got, std::size_t expected, const char* what) {
  if (got == expected) return;
  throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(expected) + ", got " +
                              std::to_string(got));
}

}  // namespace

Generation::Generation(Program& program) : program_(program) {
  const Plan& plan = program.plan();
  const auto images = plan.outputs.find("images");
  if (!plan.schedule || images == plan.outputs.end()) {
    throw std::invalid_argument("the plan is one network: it makes no pictures");
  }
  const Value& value = plan.values[static_cast<std::size_t>(images->second)];
  height_ = value.shape.at(1);
  width_ = value.shape.at(2);
  const Json model = parse_json(plan.model, "model", {.bytes = plan.model.size()});
  const Place place("model");
  const Json& manifest = member(place, model, "manifest");
  for (const Json& table : array(place, member(place, manifest, "labels"), 64)) {
    tables_.push_back(table_of(Place(place, "labels"), table));
  }
  const Json& schedule = member(place, manifest, "schedule");
  default_steps_ = integer(place, member(place, schedule, "default_steps"), 1, 1 << 20);
  if (plan.inputs.contains("labels") == tables_.empty()) {
    throw PlanError("model.labels: expected a table for each column of the input \"labels\"");
  }
}

std::int64_t Generation::drawn_row(std::uint64_t seed, std::size_t table) const noexcept {
  constexpr std::uint32_t kLabelStream = 1;
  const PhiloxWords words = philox4x32_10({static_cast<std::uint32_t>(table), 0, 0, kLabelStream},
                                          {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return static_cast<std::int64_t>(words[0] * static_cast<std::uint64_t>(tables_[table].values.size()) >> 32);
}

void Generation::generate(std::span<const std::uint64_t> seeds, std::span<const std::int64_t> rows, std::int64_t steps,
                          std::span<std::uint8_t> rgb) {
  if (program_.plan().begins_anywhere()) {
    throw std::invalid_argument(
        "the plan takes its first state and its noise as inputs: run it with those, or compile it to make them of "
        "seeds");
  }
  const std::size_t n = seeds.size(), columns = tables_.size();
  const auto batch = static_cast<std::size_t>(program_.plan().batch),
             picture = static_cast<std::size_t>(height_ * width_ * 3);
  expect(rgb.size(), n * picture, "bytes of the pictures");
  if (!rows.empty()) expect(rows.size(), n * columns, "rows of labels");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const LabelTable& table = tables_[i % columns];
    const std::int64_t last = std::max(static_cast<std::int64_t>(table.values.size()) - 1, table.null);
    if (rows[i] < 0 || rows[i] > last) {
      throw std::invalid_argument("label " + table.name + " of image " + std::to_string(i / columns) +
                                  ": expected a row from 0 to " + std::to_string(last) + ", got " +
                                  std::to_string(rows[i]));
    }
  }
  std::vector<std::uint64_t> some(batch);
  std::vector<std::int64_t> labels(batch * columns);
  std::vector<std::uint8_t> images(batch * picture);
  for (std::size_t first = 0; first < n; first += batch) {
    for (std::size_t i = 0; i < batch; ++i) {  // what a last, smaller batch lacks repeats its last image
      const std::size_t image = std::min(first + i, n - 1);
      some[i] = seeds[image];
      for (std::size_t table = 0; table < columns; ++table) {
        labels[i * columns + table] = rows.empty() ? drawn_row(some[i], table) : rows[image * columns + table];
      }
    }
    Inputs inputs{{"seeds", std::as_bytes(std::span(some))}};
    if (columns > 0) inputs.emplace("labels", std::as_bytes(std::span(labels)));
    program_.run(steps, inputs, {{"images", std::as_writable_bytes(std::span(images))}});
    const std::size_t count = std::min(batch, n - first) * picture;
    std::copy_n(images.begin(), count, rgb.begin() + static_cast<std::ptrdiff_t>(first * picture));
  }
}

}  // namespace fewstep
