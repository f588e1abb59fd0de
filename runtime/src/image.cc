#include "fewstep/image.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <string>

namespace fewstep {

Image contact_sheet(std::span<const std::uint8_t> images, std::int64_t n, std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMaxSide = 65535;
  std::int64_t columns = 1;
  while (columns * columns < n) ++columns;
  const std::int64_t rows = (n + columns - 1) / columns;
  if (rows * height > kMaxSide || columns * width > kMaxSide) {
    throw std::invalid_argument("a sheet of " + std::to_string(n) + " pictures would be " +
                                std::to_string(columns * width) + " x " + std::to_string(rows * height) +
                                " pixels, the limit is " + std::to_string(kMaxSide) + " a side");
  }
  Image sheet{rows * height, columns * width, {}};
  sheet.rgb.assign(static_cast<std::size_t>(sheet.height * sheet.width * 3), 255);
  const auto row = static_cast<std::size_t>(width * 3);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t y = 0; y < height; ++y) {
      const std::uint8_t* from = images.data() + static_cast<std::size_t>(i * height + y) * row;
      const std::int64_t to = ((i / columns * height + y) * columns + i % columns) * width * 3;
      std::copy(from, from + row, sheet.rgb.begin() + to);
    }
  }
  return sheet;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> data) {
  std::filesystem::path partial = path;
  partial += '.';
  partial += std::to_string(getpid());
  partial += ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  file.close();
  std::error_code error;
  if (!file) {
    error = std::error_code(errno, std::generic_category());
  } else {
    std::filesystem::rename(partial, path, error);
  }
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  throw std::runtime_error(path.string() + ": cannot be written: " + error.message());
}

}  // namespace fewstep
