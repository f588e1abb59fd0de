#include "oracle/addresses.h"
#include "oracle/oracle.h"

namespace oracle {

using fewstep::Plan;
using fewstep::Value;
using Wide = __int128;

void check_views(const Plan& plan) {
  for (const fewstep::Buffer& buffer : plan.buffers) {
    require(buffer.offset >= 0 && buffer.offset % 64 == 0 && buffer.bytes > 0);
    require(Wide{buffer.offset} + buffer.bytes <= plan.arena);
  }
  const std::vector<Moment> all = moments(plan);
  for (const Value& value : plan.values) {
    const bool is_weight = value.weight >= 0;
    require(is_weight != (value.buffer >= 0) && value.shape.size() == value.strides.size());
    const Wide room = is_weight ? Wide{plan.weights.at(static_cast<std::size_t>(value.weight)).bytes.size()}
                                : Wide{plan.buffers.at(static_cast<std::size_t>(value.buffer)).bytes};
    for (const Moment moment : all) {
      const Wide first = value.offset + Wide{moment.row} * value.row + Wide{moment.step} * value.step;
      Wide last = first;
      for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
        require(value.shape[axis] > 0 && value.strides[axis] >= 0);
        last += (Wide{value.shape[axis]} - 1) * value.strides[axis];
      }
      require(first >= 0 && (last + 1) * Wide{bytes_of(value.dtype)} <= room);
    }
  }
}

}  // namespace oracle
