#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace fewstep {

// The zlib stream (RFC 1950, 1951) of some bytes, with the fixed Huffman codes: small code rather than small files.
std::vector<std::byte> deflate(std::span<const std::byte> data);

}  // namespace fewstep
