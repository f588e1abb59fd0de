#include "deflate.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace fewstep {
namespace {

constexpr std::size_t kWindow = 32768, kShortest = 3, kLongest = 258, kHashes = 1 << 13;
constexpr std::array<std::uint16_t, 29> kLengths{3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint16_t, 30> kDistances{1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                                   33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                                   1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

class Bits {
 public:
  explicit Bits(std::vector<std::byte>& out) : out_(out) {}

  void put(std::uint32_t value, int count) {  // least bit first
    pending_ |= static_cast<std::uint64_t>(value) << held_;
    for (held_ += count; held_ >= 8; held_ -= 8, pending_ >>= 8) out_.push_back(static_cast<std::byte>(pending_));
  }
  void code(std::uint32_t value, int count) {  // a Huffman code: greatest bit first
    std::uint32_t turned = 0;
    for (int i = 0; i < count; ++i) turned |= (value >> i & 1) << (count - 1 - i);
    put(turned, count);
  }
  void symbol(std::uint32_t symbol) {  // a literal or length: RFC 1951, 3.2.6
    if (symbol < 144) {
      code(0x30 + symbol, 8);
    } else if (symbol < 256) {
      code(0x190 + symbol - 144, 9);
    } else if (symbol < 280) {
      code(symbol - 256, 7);
    } else {
      code(0xc0 + symbol - 280, 8);
    }
  }
  void flush() {
    if (held_ > 0) put(0, 8 - held_);
  }

 private:
  std::vector<std::byte>& out_;
  std::uint64_t pending_ = 0;
  int held_ = 0;
};

template <std::size_t n>
std::uint32_t bucket(const std::array<std::uint16_t, n>& starts, std::size_t value) {
  return static_cast<std::uint32_t>(std::upper_bound(starts.begin(), starts.end(), value) - starts.begin() - 1);
}

void put_match(Bits& bits, std::size_t length, std::size_t distance) {
  const std::uint32_t l = bucket(kLengths, length), d = bucket(kDistances, distance);
  bits.symbol(257 + l);
  if (l >= 8 && l < 28) bits.put(static_cast<std::uint32_t>(length - kLengths[l]), static_cast<int>(l / 4) - 1);
  bits.code(d, 5);
  if (d >= 4) bits.put(static_cast<std::uint32_t>(distance - kDistances[d]), static_cast<int>(d / 2) - 1);
}

std::uint32_t adler32(std::span<const std::byte> data) {
  std::uint32_t a = 1, b = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    a += static_cast<std::uint32_t>(data[i]);
    b += a;
    if (i % 4096 == 4095 || i + 1 == data.size()) {
      a %= 65521;
      b %= 65521;
    }
  }
  return b << 16 | a;
}

}  // namespace

std::vector<std::byte> deflate(std::span<const std::byte> data) {
  std::vector<std::byte> out{std::byte{0x78}, std::byte{0x01}};
  Bits bits(out);
  bits.put(1 | 1 << 1, 3);  // the last block, with fixed codes
  std::vector<std::size_t> latest(kHashes, data.size());
  for (std::size_t i = 0; i < data.size();) {
    std::size_t length = 0, distance = 0;
    if (i + kShortest <= data.size()) {
      const auto at = [&](std::size_t k) { return static_cast<std::uint32_t>(data[i + k]); };
      std::size_t& place = latest[((at(0) | at(1) << 8 | at(2) << 16) * 2654435761u >> 19) % kHashes];
      if (place < i && i - place <= kWindow) {
        distance = i - place;
        const std::size_t most = std::min(kLongest, data.size() - i);
        while (length < most && data[place + length] == data[i + length]) ++length;
      }
      place = i;
    }
    if (length >= kShortest) {
      put_match(bits, length, distance);
      i += length;
    } else {
      bits.symbol(static_cast<std::uint32_t>(data[i++]));
    }
  }
  bits.symbol(256);
  bits.flush();
  const std::uint32_t sum = adler32(data);
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::byte>(sum >> shift));
  return out;
}

}  // namespace fewstep
