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

// Copies from memory that the device cannot reach, through pinned memory: pieces are on their way while the next are
// put there. Returns when all has arrived.
void upload(Stream& stream, const std::vector<Segment>& segments);

}  // namespace fewstep::cuda
