#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace fewstep {

// A picture: rows from top to bottom, each of `width` pixels of red, green and blue.
struct Image {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> rgb;
};

// n pictures (n, height, width, 3) as one: rows of ceil(sqrt(n)), left to right, the rest of the last row white.
// Throws std::invalid_argument if it would have more than 65535 pixels a side.
Image contact_sheet(std::span<const std::uint8_t> images, std::int64_t n, std::int64_t height, std::int64_t width);

// The bytes of a PNG file.
std::vector<std::byte> png_of(const Image& image);

// Writes a file so that it is there whole or not at all. Throws std::runtime_error, one line.
void write_file(const std::filesystem::path& path, std::span<const std::byte> data);

}  // namespace fewstep
