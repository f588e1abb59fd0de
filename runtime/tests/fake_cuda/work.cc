#include <cstdlib>
#include <cstring>

#include "fake_cuda/state.h"

namespace fake_cuda {
namespace {

using fewstep::cuda::EncodedTensorMap;

// The parameters of a kernel, in order.
class Reader {
 public:
  Reader(const Kernel& kernel, const Bytes& params) : kernel_(kernel), params_(params) {}

  template <typename T>
  T take() {
    const ParamInfo& param = kernel_.info.params[next_++];
    T value{};
    if (param.size != sizeof value) state().violate(kernel_.name + ": a parameter of another size");
    std::memcpy(&value, params_.data() + param.offset, sizeof value);
    return value;
  }

  // `count` floats of the device's memory.
  float* floats(std::size_t count) {
    const auto address = take<std::uint64_t>();
    if (inside(state().device_memory, address, count * sizeof(float))) return reinterpret_cast<float*>(address);
    state().violate(kernel_.name + ": an address outside of the device's memory");
    return nullptr;
  }

 private:
  const Kernel& kernel_;
  const Bytes& params_;
  std::size_t next_ = 0;
};

std::size_t count_at(const Kernel& kernel, const Bytes& params, std::size_t index) {
  std::int32_t count = 0;
  std::memcpy(&count, params.data() + kernel.info.params[index].offset, sizeof count);
  return static_cast<std::size_t>(count);
}

void add(Reader read, std::size_t n) {
  const float* x = read.floats(n);
  const float* y = read.floats(n);
  float* z = read.floats(n);
  if (x == nullptr || y == nullptr || z == nullptr) return;
  for (std::size_t k = 0; k < n; ++k) z[k] = x[k] + y[k];
}

void step(Reader read, std::size_t n) {
  float* x = read.floats(n);
  const float* row = read.floats(1);
  const auto far = read.take<std::int64_t>();
  read.take<std::int32_t>();
  const auto i = read.take<std::int32_t>();
  const auto factor = read.take<float>();
  const auto flag = read.take<std::int8_t>();
  if (x == nullptr || row == nullptr) return;
  for (std::size_t k = 0; k < n; ++k) {
    x[k + static_cast<std::size_t>(far * flag)] = x[k] * *row + static_cast<float>(i) * factor;
  }
}

// Of whole numbers in bfloat16's or half's bits, which tests keep to what uint16 holds: the sum of the bits.
void sum(Reader read) {
  const auto map = read.take<EncodedTensorMap>();
  const auto rows = static_cast<std::size_t>(read.take<std::int32_t>());
  const auto columns = static_cast<std::size_t>(read.take<std::int32_t>());
  const auto pitch = static_cast<std::size_t>(read.take<std::int64_t>());
  read.take<std::int64_t>();
  float* y = read.floats(1);
  const std::size_t elements = (rows - 1) * pitch + columns;
  if (y == nullptr || !inside(state().device_memory, map.words[0], elements * sizeof(std::uint16_t))) {
    state().violate("sum_kernel: a tensor map outside of the device's memory");
    return;
  }
  const auto* x = reinterpret_cast<const std::uint16_t*>(map.words[0]);
  *y = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) *y += static_cast<float>(x[r * pitch + c]);
  }
}

}  // namespace

void run_kernel(const Kernel& kernel, const Bytes& params) {
  const Reader read(kernel, params);
  if (kernel.name == "add_kernel") return add(read, count_at(kernel, params, 3));
  if (kernel.name == "step_kernel") return step(read, count_at(kernel, params, 3));
  if (kernel.name == "sum_kernel") return sum(read);
  state().violate("a kernel that this driver cannot carry out: " + kernel.name);
}

void carry_out(const Work& work) {
  if (work.kernel != nullptr) return run_kernel(*work.kernel, *work.params);
  if (work.product != nullptr) return run_product(*work.product);
  if (work.freed != 0) {
    std::free(reinterpret_cast<void*>(work.freed));
    state().device_memory.erase(work.freed);
    return;
  }
  const fewstep::cuda::Copy2d& rows = work.copy;
  const auto* source = rows.source_type == 2 ? reinterpret_cast<const std::byte*>(rows.source_device)
                                             : static_cast<const std::byte*>(rows.source_host);
  auto* target = rows.target_type == 2 ? reinterpret_cast<std::byte*>(rows.target_device)
                                       : static_cast<std::byte*>(rows.target_host);
  for (std::size_t i = 0; i < rows.height; ++i) {
    std::memcpy(target + i * rows.target_pitch, source + i * rows.source_pitch, rows.width);
  }
}

}  // namespace fake_cuda
