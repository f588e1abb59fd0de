#include "plan/sha256.h"

#include <bit>
#include <cstring>
#include <string_view>

#include "plan/sha256_block.h"

namespace fewstep {
namespace {

std::uint32_t big_endian(const std::byte* at) noexcept {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out = out << 8 | std::to_integer<std::uint32_t>(at[i]);
  return out;
}

void portable_blocks(Sha256State& state, const std::byte* data, std::size_t count) noexcept {
  for (; count > 0; --count, data += kSha256Block) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) w[i] = big_endian(data + 4 * i);
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kSha256Constants[i] + w[i];
      const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    const Sha256State added{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state[i] += added[i];
  }
}

}  // namespace

Sha256 sha256(std::span<const std::byte> data, bool is_portable) noexcept {
  const auto blocks = is_portable || !has_sha_instructions() ? portable_blocks : instruction_blocks;
  Sha256State state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::size_t whole = data.size() / kSha256Block, rest = data.size() % kSha256Block;
  blocks(state, data.data(), whole);
  // The padding: a one, zeros, and the length in bits as the last 8 bytes of a block.
  std::array<std::byte, 2 * kSha256Block> tail{};
  if (rest > 0) std::memcpy(tail.data(), data.data() + whole * kSha256Block, rest);
  tail[rest] = std::byte{0x80};
  const std::size_t count = rest < kSha256Block - 8 ? 1 : 2;
  const std::uint64_t bits = static_cast<std::uint64_t>(data.size()) * 8;
  for (std::size_t i = 0; i < 8; ++i) tail[count * kSha256Block - 1 - i] = static_cast<std::byte>(bits >> 8 * i);
  blocks(state, tail.data(), count);
  Sha256 out;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  }
  return out;
}

std::string hex(const Sha256& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : digest) out += {kDigits[byte >> 4], kDigits[byte & 15]};
  return out;
}

}  // namespace fewstep
