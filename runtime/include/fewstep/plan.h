#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fewstep/op.h"
#include "fewstep/value.h"

namespace fewstep {

struct Buffer {
  std::int64_t offset = 0, bytes = 0;
};

struct Weight {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

struct ScheduleRows {  // of tau, coefficients or scales: the input, and the weight it is filled from
  std::int32_t value = -1, weight = -1;
};

struct ScheduleTable {
  std::map<std::int64_t, std::int64_t> counts;  // steps -> first row
  std::int64_t rows = 0;
  ScheduleRows tau, coefficients, scales;
};

// A module's low-rank update, y += up (down x): down (r, I) or (r, KH, KW, I), up (O, r), weights that a caller may
// replace.
struct Adapter {
  std::int32_t down = -1, up = -1;
};

struct Adapters {
  std::int64_t rank = 0;                                     // r
  std::map<std::string, std::vector<std::int64_t>> modules;  // of the network: their weights' shapes (O, I, ...)
  std::map<std::string, Adapter> targets;                    // of some of them
  std::string json;                                          // the same as text
};

// A checked plan (docs/plan.md): every index, view and shape in it is legal, so that what runs it checks nothing again.
struct Plan {
  std::string device, precision, model, certificate;  // model, certificate: their JSON text, the latter may be empty
  std::vector<std::int64_t> architectures;
  std::int64_t ptx = 0, batch = 0, arena = 0;
  std::vector<Buffer> buffers;
  std::vector<Weight> weights;
  std::vector<Value> values;
  std::map<std::string, std::int32_t> inputs, outputs;
  std::optional<ScheduleTable> schedule;  // none for a network
  std::vector<Stage> stages;
  std::optional<Adapters> adapters;       // none: no weight can be replaced
  std::vector<std::int32_t> replaceable;  // weights, ascending: the adapters'
  std::shared_ptr<const void> storage;    // what the weights lie in
  bool mapped = false;                    // which is a mapped file

  // Whether the state before the first step is an input, so that a run may begin with any step.
  bool begins_anywhere() const { return inputs.contains("state"); }
};

// Reads and checks a file: mapped read-only, never copied. Throws PlanError, one line: the place and the cause.
Plan open_plan(const std::filesystem::path& path);
// The same for a file's bytes, which `storage` keeps alive.
Plan parse_plan(std::span<const std::byte> file, std::shared_ptr<const void> storage);

}  // namespace fewstep
