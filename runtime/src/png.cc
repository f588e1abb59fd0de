#include <array>
#include <string_view>

#include "deflate.h"
#include "fewstep/image.h"

namespace fewstep {
namespace {

constexpr std::array<std::uint32_t, 256> kCrc = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
  }
  return table;
}();

using Bytes = std::vector<std::byte>;

void put_u32(Bytes& out, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::byte>(value >> shift));
}

void put_chunk(Bytes& out, std::string_view type, const Bytes& data) {
  put_u32(out, static_cast<std::uint32_t>(data.size()));
  const std::size_t begin = out.size();
  for (const char c : type) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), data.begin(), data.end());
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = begin; i < out.size(); ++i) {
    crc = kCrc[(crc ^ static_cast<std::uint32_t>(out[i])) & 255] ^ crc >> 8;
  }
  put_u32(out, ~crc);
}

// Each row as its difference from the row above (filter 2), the first from zeros.
Bytes filtered(const Image& image) {
  const auto row = static_cast<std::size_t>(image.width) * 3;
  Bytes out;
  out.reserve(image.rgb.size() + static_cast<std::size_t>(image.height));
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    if (i % row == 0) out.push_back(std::byte{2});
    out.push_back(static_cast<std::byte>(image.rgb[i] - (i < row ? 0 : image.rgb[i - row])));
  }
  return out;
}

}  // namespace

std::vector<std::byte> png_of(const Image& image) {
  Bytes out;
  for (const int byte : {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a}) out.push_back(static_cast<std::byte>(byte));
  Bytes header;
  put_u32(header, static_cast<std::uint32_t>(image.width));
  put_u32(header, static_cast<std::uint32_t>(image.height));
  for (const int byte : {8, 2, 0, 0, 0}) header.push_back(static_cast<std::byte>(byte));  // 8 bits, RGB
  put_chunk(out, "IHDR", header);
  put_chunk(out, "IDAT", deflate(filtered(image)));
  put_chunk(out, "IEND", {});
  return out;
}

}  // namespace fewstep
