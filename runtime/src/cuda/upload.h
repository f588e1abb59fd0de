#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cuda/stream.h"

namespace fewstep::cuda {

struct Segment {
  Address target;
  std::span<const std::byte> source;
};

// Copies from memory that the device cannot reach, through two pinned chunks: one is filled while the other is on its
// way. Returns when all has arrived.
void upload(Stream& stream, const std::vector<Segment>& segments);

}  // namespace fewstep::cuda
