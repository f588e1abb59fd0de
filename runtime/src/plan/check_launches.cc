#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <tuple>

#include "fewstep/error.h"
#include "plan/check.h"
#include "plan/checked.h"
#include "plan/fields.h"
#include "plan/image.h"
#include "plan/library_product.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::int64_t kMostThreads = 1024, kWarp = 32, kMostGridX = 2147483647, kMostGridYZ = 65535;
constexpr std::int64_t kMostParamBytes = 4096, kMostCluster = 16, kTensorMapBytes = 128;

// CUDA C++ programming guide, "Technical specifications per compute capability": shared memory of a block.
struct Limits {
  std::int64_t architecture, shared;
};
constexpr Limits kLimits[] = {{75, 64 << 10},   {80, 163 << 10}, {86, 99 << 10},   {87, 163 << 10},
                              {89, 99 << 10},   {90, 227 << 10}, {100, 227 << 10}, {103, 227 << 10},
                              {110, 227 << 10}, {120, 99 << 10}, {121, 99 << 10}};

std::optional<Limits> limits_of(std::int64_t architecture) {
  for (const Limits& limits : kLimits) {
    if (limits.architecture == architecture) return limits;
  }
  return std::nullopt;
}

std::int64_t size_of(const Param& param) {
  const auto ends = [&](std::string_view end) { return param.kind.ends_with(end); };
  if (param.kind == "tensormap") return kTensorMapBytes;
  if (param.kind == "ptr" || param.kind == "scratch" || ends("64")) return 8;
  if (param.kind == "step" || ends("32")) return 4;
  return ends("16") ? 2 : 1;
}

// What a tensor map addresses lies in its value's buffer or weight.
void check_tensormap(const Place& place, const Plan& plan, const Param& param) {
  const TensorMap& map = param.tensormap;
  const Value& value = plan.values[static_cast<std::size_t>(param.value)];
  const std::size_t rank = map.shape.size();
  if (map.strides.size() != rank || map.box.size() != rank) place.fail("expected shape, strides and box of one rank");
  if (map.elem_size != static_cast<std::int64_t>(bytes_of(value.dtype))) place.fail("elem_type is not its value's");
  if (value.row != 0 || value.step != 0) place.fail("its value moves");
  std::int64_t end = value.offset;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::int64_t distance = 0;
    if (!checked_multiply(map.shape[axis] - 1, map.strides[axis], distance) || !checked_add(end, distance, end)) {
      place.fail("its view is beyond 64 bits");
    }
    const bool is_inner = axis + 1 == rank;
    if (is_inner ? map.strides[axis] != 1 : map.strides[axis] * map.elem_size % 16 != 0) {
      place.fail("expected strides of 16 bytes and 1 last");
    }
    if (map.box[axis] > 256) place.fail("expected a box of at most 256, got " + std::to_string(map.box[axis]));
  }
  if (map.box.back() * map.elem_size % 16 != 0) place.fail("expected a box whose last axis is a multiple of 16 bytes");
  const std::int64_t room =
      value.weight >= 0 ? static_cast<std::int64_t>(plan.weights[static_cast<std::size_t>(value.weight)].bytes.size())
                        : plan.buffers[static_cast<std::size_t>(value.buffer)].bytes;
  if (end >= room / map.elem_size) place.fail("reaches beyond the " + std::to_string(room) + " bytes of its value");
}

class Launches {
 public:
  explicit Launches(const Plan& plan) : plan_(plan), named_(named_buffers(plan)) {}

  void check(const Place& place, const Op& op, const Launch& launch) {
    const auto limits = limits_of(launch.architecture);
    if (!limits || !is_of_plan(launch)) {
      place.fail("architecture " + std::to_string(launch.architecture) + " is none of the plan's");
    }
    if (launch.product) return check_library_product(place, plan_, op, *launch.product, named_);
    if (launch.threads > kMostThreads || launch.threads % kWarp != 0) {
      place.fail("expected threads in whole warps, at most 1024, got " + std::to_string(launch.threads));
    }
    const bool has_clusters = launch.architecture >= 90;
    if (launch.cluster > (has_clusters ? kMostCluster : 1)) {
      place.fail("a cluster of " + std::to_string(launch.cluster) + " is beyond sm_" +
                 std::to_string(launch.architecture));
    }
    if (launch.grid[0] > kMostGridX / launch.cluster || std::max(launch.grid[1], launch.grid[2]) > kMostGridYZ) {
      place.fail("the grid is beyond 2147483647 x 65535 x 65535");
    }
    const ImageKernel& kernel = kernel_of(place, launch);
    if (launch.threads > kernel.most_threads || (kernel.threads != 0 && launch.threads != kernel.threads)) {
      place.fail("expected " + std::to_string(kernel.threads != 0 ? kernel.threads : kernel.most_threads) +
                 " threads of the kernel, got " + std::to_string(launch.threads));
    }
    if (kernel.cluster != 0 && launch.cluster != kernel.cluster) {
      place.fail("expected a cluster of " + std::to_string(kernel.cluster) + " of the kernel, got " +
                 std::to_string(launch.cluster));
    }
    if (kernel.shared + launch.shared > limits->shared) {
      place.fail("expected at most " + std::to_string(limits->shared) + " bytes of shared memory on sm_" +
                 std::to_string(launch.architecture) + ", got " + std::to_string(kernel.shared + launch.shared));
    }
    check_params(place, launch, kernel);
  }

 private:
  bool is_of_plan(const Launch& launch) const {
    const auto& known = plan_.architectures;
    if (launch.is_ptx) return launch.architecture == plan_.ptx;
    return std::find(known.begin(), known.end(), launch.architecture) != known.end();
  }

  const ImageKernel& kernel_of(const Place& place, const Launch& launch) {
    const auto [found, is_new] = kernels_.try_emplace({launch.image, launch.is_ptx, launch.entry});
    if (!is_new) return found->second;
    const Weight& weight = plan_.weights[static_cast<std::size_t>(launch.image)];
    try {
      if (weight.dtype != Dtype::u8) throw PlanError("expected an image of type u8");
      found->second = launch.is_ptx ? read_ptx(weight.bytes, launch.entry, launch.architecture)
                                    : read_cubin(weight.bytes, launch.entry);
    } catch (const PlanError& error) {
      place.fail((launch.is_ptx ? "ptx " : "cubin ") + in_quotes(weight.name) + ": " + error.what());
    }
    return found->second;
  }

  void check_params(const Place& place, const Launch& launch, const ImageKernel& kernel) const {
    const Place params(place, "params");
    if (launch.params.size() != kernel.params.size()) {
      params.fail("expected " + std::to_string(kernel.params.size()) + " of the kernel, got " +
                  std::to_string(launch.params.size()));
    }
    std::int64_t total = 0;
    for (std::size_t i = 0; i < launch.params.size(); ++i) {
      const Place param(params, i);
      const std::int64_t size = size_of(launch.params[i]);
      total += size;
      if (size != kernel.params[i]) {
        param.fail("expected " + std::to_string(kernel.params[i]) + " bytes of the kernel, got " +
                   std::to_string(size) + " of " + launch.params[i].kind);
      }
      if (launch.params[i].kind == "tensormap") check_tensormap(param, plan_, launch.params[i]);
    }
    if (total > kMostParamBytes) params.fail("expected at most 4096 bytes, got " + std::to_string(total));
  }

  const Plan& plan_;
  std::vector<bool> named_;  // buffers
  std::map<std::tuple<std::int32_t, bool, std::string>, ImageKernel> kernels_;
};

// On a GPU every op has launches for each architecture, and of PTX where the plan has it; on a CPU none.
void check_op(const Place& place, const Plan& plan, const Op& op, Launches& launches) {
  const Place list(place, "launches");
  if (plan.device == "cpu") {
    if (!op.launches.empty()) list.fail("expected none in a plan for a CPU");
    return;
  }
  for (std::size_t i = 0; i < op.launches.size(); ++i) launches.check(Place(list, i), op, op.launches[i]);
  for (const std::int64_t architecture : plan.architectures) {
    const auto is_for = [&](const Launch& launch) { return !launch.is_ptx && launch.architecture == architecture; };
    if (std::none_of(op.launches.begin(), op.launches.end(), is_for)) {
      list.fail("there is none for sm_" + std::to_string(architecture));
    }
  }
  if (plan.ptx != 0 && std::none_of(op.launches.begin(), op.launches.end(), std::mem_fn(&Launch::is_ptx))) {
    list.fail("there is none of PTX");
  }
}

}  // namespace

void check_launches(const Plan& plan) {
  const Place program("program"), stages(program, "stages"), target(program, "target");
  for (const std::int64_t architecture : plan.architectures) {
    if (!limits_of(architecture)) target.fail("sm_" + std::to_string(architecture) + " is not known to this version");
  }
  if (plan.ptx != 0 && !limits_of(plan.ptx)) {
    target.fail("PTX of " + std::to_string(plan.ptx) + " is not known to this version");
  }
  Launches launches(plan);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Place stage(stages, s), ops(stage, "ops");
    for (std::size_t i = 0; i < plan.stages[s].ops.size(); ++i) {
      const Op& op = plan.stages[s].ops[i];
      const std::string name = in_quotes(op.name);
      const Place item(ops, i);
      check_op(Place(item, name), plan, op, launches);
    }
  }
}

}  // namespace fewstep
