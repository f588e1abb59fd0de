#include "cuda/view_layout.h"

#include <algorithm>
#include <cstring>

namespace fewstep::cuda {

ViewLayout::ViewLayout(const Value& value) : element_(bytes_of(value.dtype)) {
  std::size_t caller = element_;
  for (std::size_t i = value.shape.size(); i-- > 0;) {
    const auto size = static_cast<std::size_t>(value.shape[i]);
    if (size != 1) axes_.push_back({size, static_cast<std::size_t>(value.strides[i]) * element_, caller});
    caller *= size;
  }
  bytes_ = caller;
  std::ranges::reverse(axes_);
  std::ranges::stable_sort(axes_, std::ranges::greater{}, &Axis::device);
  width_ = element_;
  runs_ = axes_;
  while (!runs_.empty() && runs_.back().device == width_) {
    width_ *= runs_.back().size;
    runs_.pop_back();
  }
}

std::vector<Copy> ViewLayout::copies(Address device, std::size_t host) const {
  if (bytes_ == 0) return {};
  std::vector<Copy> copies{{device, host, width_, 1, width_}};
  std::size_t copied = width_;
  for (std::size_t i = runs_.size(); i-- > 0;) {
    const Axis& axis = runs_[i];
    if (copies.size() == 1 && copies[0].height == 1 && axis.device >= width_) {
      copies[0].height = axis.size;
      copies[0].pitch = axis.device;
    } else {
      const std::vector<Copy> once = copies;
      for (std::size_t k = 1; k < axis.size; ++k) {
        for (Copy copy : once) {
          copy.device += k * axis.device;
          copy.host += k * copied;
          copies.push_back(copy);
        }
      }
    }
    copied *= axis.size;
  }
  return copies;
}

template <typename Move>
void ViewLayout::walk(std::size_t depth, std::size_t& ordered, std::size_t caller, const Move& move) const {
  std::size_t run = element_;
  bool same = true;  // from here on both orders are one
  for (std::size_t i = axes_.size(); i-- > depth;) {
    same = same && axes_[i].caller == run;
    run *= axes_[i].size;
  }
  if (same) {
    move(ordered, caller, run);
    ordered += run;
    return;
  }
  for (std::size_t k = 0; k < axes_[depth].size; ++k) walk(depth + 1, ordered, caller + k * axes_[depth].caller, move);
}

void ViewLayout::to_view_order(std::span<const std::byte> caller, std::byte* ordered) const {
  std::size_t at = 0;
  walk(0, at, 0, [&](std::size_t to, std::size_t from, std::size_t bytes) {
    std::memcpy(ordered + to, caller.data() + from, bytes);
  });
}

void ViewLayout::to_caller_order(const std::byte* ordered, std::span<std::byte> caller) const {
  std::size_t at = 0;
  walk(0, at, 0, [&](std::size_t from, std::size_t to, std::size_t bytes) {
    std::memcpy(caller.data() + to, ordered + from, bytes);
  });
}

}  // namespace fewstep::cuda
