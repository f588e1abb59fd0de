#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "deflate.h"
#include "fewstep/image.h"

namespace {

using Bytes = std::vector<std::byte>;

// Reads what RFC 1951 calls one block of fixed codes, bit by bit from its tables in 3.2.5 and 3.2.6.
class Inflater {
 public:
  explicit Inflater(const Bytes& stream) : stream_(stream) {}

  Bytes inflate() {
    CHECK(bits(3) == 3);
    Bytes out;
    for (;;) {
      const unsigned symbol = literal();
      if (symbol == 256) break;
      if (symbol < 256) {
        out.push_back(static_cast<std::byte>(symbol));
        continue;
      }
      CHECK(symbol < 286);
      std::size_t length = 3;
      for (unsigned s = 257; s < symbol; ++s) length += std::size_t{1} << (s < 265 ? 0 : (s - 261) / 4);
      length = symbol == 285 ? 258 : length + bits(symbol < 265 ? 0 : (symbol - 261) / 4);
      const unsigned code = reversed(5);
      std::size_t distance = 1;
      for (unsigned d = 0; d < code; ++d) distance += std::size_t{1} << (d < 4 ? 0 : d / 2 - 1);
      distance += bits(code < 4 ? 0 : code / 2 - 1);
      CHECK(distance <= out.size() && distance <= 32768);
      for (std::size_t i = 0; i < length; ++i) out.push_back(out[out.size() - distance]);
    }
    CHECK((at_ + 7) / 8 + 4 == stream_.size());  // the checksum follows
    return out;
  }

 private:
  unsigned bits(unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; ++i, ++at_) {
      value |= (static_cast<unsigned>(stream_[at_ / 8]) >> at_ % 8 & 1) << i;
    }
    return value;
  }
  unsigned reversed(unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; ++i) value = value << 1 | bits(1);
    return value;
  }
  unsigned literal() {
    unsigned code = reversed(7);
    if (code < 24) return 256 + code;
    code = code << 1 | bits(1);
    if (code < 192) return code - 48;
    if (code < 200) return 280 + code - 192;
    return 144 + (code << 1 | bits(1)) - 400;
  }

  const Bytes& stream_;
  std::size_t at_ = 16;  // after the header of two bytes
};

std::uint32_t u32(const Bytes& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint32_t>(bytes.at(at + i));
  return value;
}

void check_deflate(const Bytes& data) {
  const Bytes stream = fewstep::deflate(data);
  CHECK((static_cast<unsigned>(stream[0]) * 256 + static_cast<unsigned>(stream[1])) % 31 == 0);
  CHECK(Inflater(stream).inflate() == data);
  std::uint64_t a = 1, b = 0;
  for (const std::byte x : data) {
    a = (a + static_cast<unsigned>(x)) % 65521;
    b = (b + a) % 65521;
  }
  CHECK(u32(stream, stream.size() - 4) == (b << 16 | a));
}

void test_deflate_is_undone_by_inflate() {
  std::mt19937 random(1);
  for (const std::size_t size : {0, 1, 2, 3, 4, 257, 258, 259, 260, 5000, 100000}) {
    for (const unsigned values : {1u, 2u, 5u, 256u}) {  // few values repeat often, and at every length
      Bytes data(size);
      for (std::byte& x : data) x = static_cast<std::byte>(random() % values * 37);
      check_deflate(data);
    }
  }
  Bytes far(90000);  // repeats at every distance up to the window and beyond it
  for (std::size_t i = 0; i < far.size(); ++i) far[i] = static_cast<std::byte>(i < 600 ? random() : 0);
  for (std::size_t at = 700, gap = 1; at + 64 < far.size(); gap = gap * 3 / 2 + 1, at += gap) {
    std::memcpy(&far[at], &far[at % 500], 64);
  }
  check_deflate(far);
}

// By the definition of the CRC in the PNG specification, annex D.
std::uint32_t crc(const Bytes& bytes, std::size_t begin, std::size_t end) {
  std::uint32_t value = 0xffffffff;
  for (std::size_t i = begin; i < end; ++i) {
    value ^= static_cast<std::uint32_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value;
}

void test_a_png_holds_the_picture() {
  fewstep::Image image{7, 5, {}};
  for (std::size_t i = 0; i < 7 * 5 * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(i * i));
  const Bytes png = fewstep::png_of(image);
  CHECK(u32(png, 0) == 0x89504e47 && u32(png, 4) == 0x0d0a1a0a);
  std::size_t at = 8;
  Bytes rows;
  for (const std::uint32_t type : {0x49484452u, 0x49444154u, 0x49454e44u}) {
    const std::size_t size = u32(png, at);
    CHECK(u32(png, at + 4) == type && u32(png, at + 8 + size) == crc(png, at + 4, at + 8 + size));
    const Bytes data(png.begin() + static_cast<std::ptrdiff_t>(at + 8),
                     png.begin() + static_cast<std::ptrdiff_t>(at + 8 + size));
    if (at == 8) CHECK(u32(data, 0) == 5 && u32(data, 4) == 7 && u32(data, 8) == 0x08020000 && size == 13);
    if (type == 0x49444154) rows = Inflater(data).inflate();
    at += 12 + size;
  }
  CHECK(at == png.size() && rows.size() == 7 * 16);
  for (std::size_t y = 0; y < 7; ++y) {
    CHECK(rows[y * 16] == std::byte{2});
    for (std::size_t x = 0; x < 15; ++x) {
      const unsigned above = y == 0 ? 0 : image.rgb[(y - 1) * 15 + x];
      CHECK(((static_cast<unsigned>(rows[y * 16 + 1 + x]) + above) & 255) == image.rgb[y * 15 + x]);
    }
  }
}

void test_a_sheet_has_its_pictures_in_rows() {
  std::vector<std::uint8_t> images(3 * 2 * 2 * 3);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i);
  const fewstep::Image sheet = fewstep::contact_sheet(images, 3, 2, 2);
  CHECK(sheet.height == 4 && sheet.width == 4);
  const auto at = [&](std::size_t y, std::size_t x) { return sheet.rgb[(y * 4 + x) * 3]; };
  CHECK(at(0, 0) == 0 && at(1, 1) == 9 && at(0, 2) == 12 && at(2, 0) == 24 && at(3, 1) == 33);
  CHECK(at(2, 2) == 255 && at(3, 3) == 255);
  bool refused = false;
  try {
    fewstep::contact_sheet(images, 2, 40000, 40000);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
}

}  // namespace

int main() {
  test_deflate_is_undone_by_inflate();
  test_a_png_holds_the_picture();
  test_a_sheet_has_its_pictures_in_rows();
}
