#include <algorithm>
#include <functional>
#include <memory>
#include <span>

#include "oracle/addresses.h"
#include "oracle/oracle.h"
#include "plan/image.h"

namespace oracle {
namespace {

using fewstep::Launch;
using fewstep::Param;
using fewstep::Plan;
using Wide = __int128;

// CUDA C++ programming guide, "Technical specifications per compute capability".
std::int64_t most_shared(std::int64_t architecture) {
  const std::int64_t minor = architecture % 10, major = architecture / 10;
  const std::int64_t kilobytes = architecture == 75 ? 64
                                 : major == 12      ? 99
                                 : major >= 9       ? 227
                                 : minor % 7 == 0   ? 163
                                                    : 99;
  return kilobytes * 1024;
}

std::int64_t size_of(const std::string& kind) {
  if (kind == "tensormap") return 128;
  for (const char* name : {"ptr", "scratch", "i64", "u64", "fp64"}) {
    if (kind == name) return 8;
  }
  for (const char* name : {"step", "i32", "u32", "fp32"}) {
    if (kind == name) return 4;
  }
  return kind == "i16" || kind == "u16" || kind == "fp16" || kind == "bf16" ? 2 : 1;
}

void check_tensormap(const Plan& plan, const Param& param) {
  const fewstep::Value& value = value_of(plan, param.value);
  const fewstep::TensorMap& map = param.tensormap;
  require(value.row == 0 && value.step == 0 && map.shape.size() == map.strides.size());
  require(map.shape.size() == map.box.size());
  Wide last = value.offset;
  for (std::size_t axis = 0; axis < map.shape.size(); ++axis) {
    last += (Wide{map.shape[axis]} - 1) * map.strides[axis];
    require(map.box[axis] >= 1 && map.box[axis] <= 256);
  }
  const Wide room = value.weight >= 0 ? Wide{plan.weights[static_cast<std::size_t>(value.weight)].bytes.size()}
                                      : Wide{plan.buffers[static_cast<std::size_t>(value.buffer)].bytes};
  require((last + 1) * map.elem_size <= room);
}

void check_launch(const Plan& plan, const Launch& launch) {
  require(launch.is_ptx ? launch.architecture == plan.ptx
                        : std::count(plan.architectures.begin(), plan.architectures.end(), launch.architecture) > 0);
  require(launch.threads >= 32 && launch.threads <= 1024 && launch.threads % 32 == 0);
  require(launch.cluster >= 1 && launch.cluster <= (launch.architecture >= 90 ? 16 : 1));
  require(launch.grid[0] >= 1 && Wide{launch.grid[0]} * launch.cluster <= 2147483647);
  for (const std::int64_t size : {launch.grid[1], launch.grid[2]}) require(size >= 1 && size <= 65535);

  // The image alone in a block, so that a reader that leaves it is seen.
  const auto bytes = plan.weights.at(static_cast<std::size_t>(launch.image)).bytes;
  const auto block = std::make_unique<std::byte[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), block.get());
  const std::span<const std::byte> image(block.get(), bytes.size());
  const fewstep::ImageKernel kernel = launch.is_ptx ? fewstep::read_ptx(image, launch.entry, launch.architecture)
                                                    : fewstep::read_cubin(image, launch.entry);
  require(launch.threads <= kernel.most_threads && (kernel.threads == 0 || launch.threads == kernel.threads));
  require(kernel.cluster == 0 || launch.cluster == kernel.cluster);
  require(launch.shared >= 0 && launch.shared + kernel.shared <= most_shared(launch.architecture));
  require(launch.params.size() == kernel.params.size());
  std::int64_t total = 0;
  for (std::size_t i = 0; i < launch.params.size(); ++i) {
    require(size_of(launch.params[i].kind) == kernel.params[i]);
    total += kernel.params[i];
    if (launch.params[i].kind == "tensormap") check_tensormap(plan, launch.params[i]);
  }
  require(total <= 4096);
}

}  // namespace

void check_launches(const Plan& plan) {
  for (const fewstep::Stage& stage : plan.stages) {
    for (const fewstep::Op& op : stage.ops) {
      require(plan.device == "cuda" || op.launches.empty());
      for (const Launch& launch : op.launches) check_launch(plan, launch);
      const bool has_ptx = std::any_of(op.launches.begin(), op.launches.end(), std::mem_fn(&Launch::is_ptx));
      require(plan.ptx == 0 || has_ptx);
      for (const std::int64_t architecture : plan.architectures) {
        require(std::any_of(op.launches.begin(), op.launches.end(), [&](const Launch& launch) {
          return !launch.is_ptx && launch.architecture == architecture;
        }));
      }
    }
  }
}

}  // namespace oracle
