#include "cuda/upload.h"

#include <algorithm>
#include <cstring>

#include "cuda/memory.h"

namespace fewstep::cuda {
namespace {

constexpr std::size_t kRoom = std::size_t{16} << 20, kPiece = std::size_t{1} << 20;

std::size_t total(const std::vector<Segment>& segments) {
  std::size_t bytes = 0;
  for (const Segment& segment : segments) bytes += segment.source.size();
  return bytes;
}

}  // namespace

void upload(Stream& stream, const std::vector<Segment>& segments) {
  Driver& driver = stream.driver();
  const std::size_t room = std::min(kRoom, total(segments));
  if (room == 0) return;
  const PinnedMemory pinned(stream.context(), room, "a staging buffer");
  std::size_t used = 0;
  try {
    for (const Segment& segment : segments) {
      for (std::size_t done = 0, bytes = 0; done < segment.source.size(); done += bytes) {
        if (used == room) {
          stream.synchronize();
          used = 0;
        }
        bytes = std::min({kPiece, room - used, segment.source.size() - done});
        std::memcpy(pinned.data() + used, segment.source.data() + done, bytes);
        driver.check(driver->copy_to_device(segment.target + done, pinned.data() + used, bytes, stream.handle()),
                     "cuMemcpyHtoDAsync");
        used += bytes;
      }
    }
    stream.synchronize();
  } catch (...) {
    stream.settle();
    throw;
  }
}

}  // namespace fewstep::cuda
