#include "cuda/launch.h"

#include <array>
#include <cstring>

#include "cuda/scalar.h"
#include "cuda/tensor_map.h"

namespace fewstep::cuda {
namespace {

bool is_address(const Param& param) { return param.kind == "ptr" || param.kind == "scratch"; }

std::size_t bytes_of(const Param& param) {
  if (param.kind == "tensormap") return sizeof(EncodedTensorMap);
  if (is_address(param)) return sizeof(Address);
  return param.kind == "step" ? sizeof(std::int32_t) : scalar_bytes(param.kind);
}

}  // namespace

PreparedLaunch::PreparedLaunch(Driver& driver, const Launch& launch, FunctionHandle function,
                               const Addresses& addresses)
    : launch_(launch), function_(function), addresses_(addresses) {
  std::vector<std::size_t> offsets;
  std::size_t end = 0;
  for (const Param& param : launch.params) {
    const std::size_t bytes = bytes_of(param);
    end = (end + bytes - 1) / bytes * bytes;  // sizes are powers of two: each is aligned to its own
    offsets.push_back(end);
    end += bytes;
  }
  storage_.resize((end + sizeof(EncodedTensorMap) - 1) / sizeof(EncodedTensorMap));
  auto* start = reinterpret_cast<std::byte*>(storage_.data());
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const Param& param = launch.params[i];
    const Slot slot{&param, start + offsets[i]};
    places_.push_back(slot.place);
    const bool moves = param.kind == "step" || (param.value >= 0 && addresses.moves(param.value));
    if (moves) moving_.push_back(slot);
    write(driver, slot, {});
  }
}

void PreparedLaunch::write(Driver& driver, const Slot& slot, Moment moment) {
  const Param& param = *slot.param;
  const Address address = param.value < 0 ? 0 : addresses_.of(param.value, moment);
  if (param.kind == "tensormap") {
    encode(driver, param.tensormap, address, reinterpret_cast<EncodedTensorMap*>(slot.place));
  } else if (is_address(param)) {
    std::memcpy(slot.place, &address, sizeof address);
  } else if (param.kind == "step") {
    const auto step = static_cast<std::int32_t>(moment.step);
    std::memcpy(slot.place, &step, sizeof step);
  } else {
    write_scalar(param, slot.place);
  }
}

void PreparedLaunch::enqueue(Stream& stream, Moment moment) {
  Driver& driver = stream.driver();
  for (const Slot& slot : moving_) write(driver, slot, moment);
  std::array<LaunchAttribute, 2> attributes{};
  const auto cluster = static_cast<unsigned>(launch_.cluster);
  attributes[0].id = kClusterDimension;
  attributes[0].value.cluster[0] = cluster;
  attributes[0].value.cluster[1] = attributes[0].value.cluster[2] = 1;
  attributes[1].id = kClusterPolicy;
  attributes[1].value.policy = kSpread;
  const auto [x, y, z] = launch_.grid;
  const LaunchConfig config{
      .grid = {static_cast<unsigned>(x) * cluster, static_cast<unsigned>(y), static_cast<unsigned>(z)},
      .block = {static_cast<unsigned>(launch_.threads), 1, 1},
      .shared = static_cast<unsigned>(launch_.shared),
      .stream = stream.handle(),
      .attributes = attributes.data(),
      .attribute_count = cluster > 1 ? static_cast<unsigned>(attributes.size()) : 0};
  if (const Result result = driver->launch_kernel(&config, function_, places_.data(), nullptr); result != 0) {
    driver.fail(result, "cuLaunchKernelEx of " + launch_.entry);
  }
}

}  // namespace fewstep::cuda
