#include "cuda/upload.h"

#include <algorithm>
#include <cstring>

#include "cuda/memory.h"

namespace fewstep::cuda {
namespace {

constexpr std::size_t kChunk = std::size_t{8} << 20;

std::size_t largest(const std::vector<Segment>& segments) {
  std::size_t bytes = 0;
  for (const Segment& segment : segments) bytes = std::max(bytes, segment.source.size());
  return bytes;
}

}  // namespace

void upload(Stream& stream, const std::vector<Segment>& segments) {
  Driver& driver = stream.driver();
  const std::size_t chunk = std::min(kChunk, largest(segments));
  const PinnedMemory pinned(stream.context(), 2 * chunk, "a staging buffer");
  std::byte* free = pinned.data();
  std::byte* busy = free + chunk;
  try {
    for (const Segment& segment : segments) {
      for (std::size_t done = 0; done < segment.source.size(); done += chunk) {
        const std::size_t bytes = std::min(chunk, segment.source.size() - done);
        std::memcpy(free, segment.source.data() + done, bytes);
        stream.synchronize();
        driver.check(driver->copy_to_device(segment.target + done, free, bytes, stream.handle()), "cuMemcpyHtoDAsync");
        std::swap(free, busy);
      }
    }
    stream.synchronize();
  } catch (...) {
    stream.settle();
    throw;
  }
}

}  // namespace fewstep::cuda
