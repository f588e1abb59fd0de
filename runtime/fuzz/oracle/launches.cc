#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "matrix.h"
#include "oracle/addresses.h"
#include "oracle/oracle.h"
#include "plan/image.h"

namespace oracle {
namespace {

using fewstep::Dtype;
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

// That a library's three steps lead to every element where the view has it, which is within its buffer.
fewstep::Matrix check_matrix(const Plan& plan, std::int32_t index) {
  const fewstep::Value& value = value_of(plan, index);
  require(value.dtype == Dtype::f32 || value.dtype == Dtype::f16 || value.dtype == Dtype::bf16);
  const std::optional<fewstep::Matrix> found = fewstep::matrix_of(value);
  require(found.has_value());
  const auto [rows, columns, leading, batch, distance, is_row_major] = *found;
  const auto is_step = [&](std::size_t axis, Wide step) {
    return value.shape[axis] == 1 || value.strides[axis] == step;
  };
  std::size_t axis = value.shape.size() - 1;
  require(value.shape[axis] == columns && is_step(axis, is_row_major ? 1 : leading));
  --axis;
  require(value.shape[axis] == rows && is_step(axis, is_row_major ? leading : 1));
  Wide count = 1;
  while (axis-- > 0) {
    require(is_step(axis, count * distance));
    count *= value.shape[axis];
  }
  require(count == batch && leading >= (is_row_major ? columns : rows));
  for (const std::int64_t size : {rows, columns, batch}) require(size <= 2147483647);
  return *found;
}

void check_product(const Plan& plan, const fewstep::Op& op, const fewstep::LibraryProduct& product) {
  require(op.kind == "matmul" && product.a == op.inputs[0] && product.b == op.inputs[1] && product.y == op.outputs[0]);
  require(op.inputs.size() < 3 ? product.bias < 0 : product.bias == op.inputs[2]);
  for (std::size_t i = 3; i < op.inputs.size(); ++i) require(op.inputs[i] < 0);
  const fewstep::Matrix a = check_matrix(plan, product.a), b = check_matrix(plan, product.b);
  const fewstep::Matrix y = check_matrix(plan, product.y);
  require(y.is_row_major && a.rows == y.rows && a.columns == b.rows && b.columns == y.columns);
  require(a.batch == y.batch && b.batch == y.batch);
  const Dtype type = value_of(plan, product.a).dtype, made = value_of(plan, product.y).dtype;
  require(value_of(plan, product.b).dtype == type && (made == type || made == Dtype::f32));
  if (product.bias >= 0) {
    const fewstep::Value& bias = value_of(plan, product.bias);
    require(bias.dtype == made && bias.shape == std::vector<std::int64_t>{y.columns} && bias.row == 0 &&
            bias.step == 0);
    require(y.columns == 1 || bias.strides[0] == 1);
  }
  if (product.workspace < 0) return;
  const fewstep::Value& workspace = value_of(plan, product.workspace);
  require(workspace.buffer >= 0 && workspace.dtype == fewstep::Dtype::u8 && workspace.shape.size() == 1);
  require(workspace.shape[0] <= 64 << 20 && workspace.row == 0 && workspace.step == 0);
  require(workspace.shape[0] == 1 || workspace.strides[0] == 1);
}

void check_launch(const Plan& plan, const fewstep::Op& op, const Launch& launch) {
  if (launch.product) {
    require(std::count(plan.architectures.begin(), plan.architectures.end(), launch.architecture) > 0);
    return check_product(plan, op, *launch.product);
  }
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
      for (const Launch& launch : op.launches) check_launch(plan, op, launch);
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
