#include "fewstep/noise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <string>

namespace fewstep {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;
constexpr std::size_t kLanes = 32;  // Philox blocks made together, so that the compiler can vectorise across them

struct Lanes {
  std::array<std::uint32_t, kLanes> w0, w1, w2, w3;
};

inline void philox_round(std::uint32_t& w0, std::uint32_t& w1, std::uint32_t& w2, std::uint32_t& w3, std::uint32_t k0,
                         std::uint32_t k1) noexcept {
  const std::uint64_t product0 = std::uint64_t{kMultiplier0} * w0;
  const std::uint64_t product1 = std::uint64_t{kMultiplier1} * w2;
  w0 = static_cast<std::uint32_t>(product1 >> 32) ^ w1 ^ k0;
  w1 = static_cast<std::uint32_t>(product1);
  w2 = static_cast<std::uint32_t>(product0 >> 32) ^ w3 ^ k1;
  w3 = static_cast<std::uint32_t>(product0);
}

// Horner's rule over a table of coefficients, lowest power first.
template <std::size_t N>
inline double polynomial(const std::array<double, N>& coefficients, double x) noexcept {
  double sum = coefficients[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) sum = sum * x + coefficients[i];
  return sum;
}

// Taylor series, long enough for a relative error under 1e-15 on the reduced ranges below.
constexpr std::array kAtanh{1.0,        1.0 / 3.0,  1.0 / 5.0,  1.0 / 7.0,  1.0 / 9.0,
                            1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0, 1.0 / 17.0, 1.0 / 19.0};  // atanh(s) / s in s^2
constexpr std::array kSin{1.0,
                          -1.0 / 6.0,
                          1.0 / 120.0,
                          -1.0 / 5040.0,
                          1.0 / 362880.0,
                          -1.0 / 39916800.0,
                          1.0 / 6227020800.0,
                          -1.0 / 1307674368000.0};
constexpr std::array kCos{1.0,           -1.0 / 2.0,       1.0 / 24.0,        -1.0 / 720.0,
                          1.0 / 40320.0, -1.0 / 3628800.0, 1.0 / 479001600.0, -1.0 / 87178291200.0};

// ln(k / 2^24) for k in [1, 2^24].
inline double log_uniform(std::int32_t k) noexcept {
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD;  // the bits of sqrt(1/2)
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(k));
  const std::uint64_t exponent = (bits - kSqrtHalf) >> 52;        // k = m 2^exponent
  const auto m = std::bit_cast<double>(bits - (exponent << 52));  // in [sqrt(1/2), sqrt(2))
  const double s = (m - 1.0) / (m + 1.0);                         // ln m = 2 atanh s
  const double scale = static_cast<double>(static_cast<std::int32_t>(exponent) - 24);
  return scale * std::numbers::ln2 + 2.0 * s * polynomial(kAtanh, s * s);
}

struct Pair {
  double first, second;
};

// (cos, sin) of 2 pi j / 2^24 for j in [0, 2^24): an exact reduction to the nearest quarter turn, then the two series.
inline Pair unit_circle(std::int32_t j) noexcept {
  const std::int32_t quarter = (j + (1 << 21)) >> 22;
  const double x = static_cast<double>(j - (quarter << 22)) * (std::numbers::pi / (1 << 23));  // in [-pi/4, pi/4]
  const double cosine = polynomial(kCos, x * x), sine = x * polynomial(kSin, x * x);
  const bool odd = (quarter & 1) != 0;
  const double c = odd ? sine : cosine, s = odd ? cosine : sine;
  return {((quarter + 1) & 2) != 0 ? -c : c, (quarter & 2) != 0 ? -s : s};
}

inline Pair box_muller(std::uint32_t word_radius, std::uint32_t word_angle) noexcept {
  const double radius = std::sqrt(-2.0 * log_uniform(static_cast<std::int32_t>(word_radius >> 8) + 1));
  const Pair direction = unit_circle(static_cast<std::int32_t>(word_angle >> 8));
  return {radius * direction.first, radius * direction.second};
}

// Normals of kLanes consecutive blocks, those past the last block included (they wrap and are not used).
void normal_blocks(std::uint64_t seed, std::uint32_t step, std::uint64_t first_block,
                   std::array<float, 4 * kLanes>& out) noexcept {
  Lanes l;
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::uint64_t block = first_block + i;
    l.w0[i] = static_cast<std::uint32_t>(block);
    l.w1[i] = static_cast<std::uint32_t>(block >> 32);
    l.w2[i] = step;
    l.w3[i] = 0;
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    for (std::size_t i = 0; i < kLanes; ++i) philox_round(l.w0[i], l.w1[i], l.w2[i], l.w3[i], k0, k1);
  }
  for (std::size_t i = 0; i < kLanes; ++i) {
    const Pair a = box_muller(l.w0[i], l.w1[i]), b = box_muller(l.w2[i], l.w3[i]);
    out[4 * i] = static_cast<float>(a.first);
    out[4 * i + 1] = static_cast<float>(a.second);
    out[4 * i + 2] = static_cast<float>(b.first);
    out[4 * i + 3] = static_cast<float>(b.second);
  }
}

void normal_of_seed(std::uint64_t seed, std::uint32_t step, std::uint64_t first, std::span<float> out) noexcept {
  std::array<float, 4 * kLanes> made;
  std::uint64_t block = first / 4;
  for (std::size_t skip = first % 4; !out.empty(); skip = 0, block += kLanes) {
    normal_blocks(seed, step, block, made);
    const std::size_t count = std::min(out.size(), made.size() - skip);
    std::copy_n(made.begin() + static_cast<std::ptrdiff_t>(skip), count, out.begin());
    out = out.subspan(count);
  }
}

}  // namespace

PhiloxWords philox4x32_10(PhiloxWords counter, PhiloxKey key) noexcept {
  for (int round = 0; round < kRounds; ++round, key[0] += kWeyl0, key[1] += kWeyl1) {
    philox_round(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
  }
  return counter;
}

void normal(std::span<const std::uint64_t> seeds, std::uint32_t step, std::uint64_t first, std::span<float> out) {
  if (out.empty()) return;
  if (seeds.empty() || out.size() % seeds.size() != 0) {
    throw std::invalid_argument("noise for " + std::to_string(seeds.size()) +
                                " seeds must fill a whole number of elements each, got room for " +
                                std::to_string(out.size()));
  }
  const std::size_t count = out.size() / seeds.size();
  if (count - 1 > std::numeric_limits<std::uint64_t>::max() - first) {
    throw std::invalid_argument("a noise stream has 2^64 elements, got " + std::to_string(count) +
                                " elements from element " + std::to_string(first));
  }
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    normal_of_seed(seeds[i], step, first, out.subspan(i * count, count));
  }
}

}  // namespace fewstep
