#include "cuda/tensor_map.h"

#include <array>
#include <stdexcept>
#include <string>

namespace fewstep::cuda {
namespace {

constexpr std::size_t kMaxRank = 5;

}  // namespace

void encode(Driver& driver, const TensorMap& map, Address address, EncodedTensorMap* encoded) {
  const std::size_t rank = map.shape.size();
  if (rank < 1 || rank > kMaxRank || map.strides.size() != rank || map.box.size() != rank) {
    throw std::invalid_argument("a tensor map: expected 1 to 5 axes, got " + std::to_string(rank));
  }
  std::array<std::uint64_t, kMaxRank> shape{}, strides{};
  std::array<unsigned, kMaxRank> box{}, element_strides{};
  for (std::size_t i = 0; i < rank; ++i) {  // the driver's innermost axis is first
    const std::size_t axis = rank - 1 - i;
    shape[i] = static_cast<std::uint64_t>(map.shape[axis]);
    strides[i] = static_cast<std::uint64_t>(map.strides[axis] * map.elem_size);
    box[i] = static_cast<unsigned>(map.box[axis]);
    element_strides[i] = 1;
  }
  driver.check(driver->tensor_map_encode(encoded, static_cast<int>(map.elem_type), static_cast<unsigned>(rank),
                                         reinterpret_cast<void*>(address), shape.data(), strides.data() + 1, box.data(),
                                         element_strides.data(), kInterleaveNone, static_cast<int>(map.swizzle),
                                         kPromotion128, map.nan_padding ? kFillNan : kFillNone),
               "cuTensorMapEncodeTiled");
}

}  // namespace fewstep::cuda
