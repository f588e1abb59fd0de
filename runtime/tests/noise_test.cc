#include "fewstep/noise.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "check.h"

namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

std::vector<float> normal(std::vector<std::uint64_t> seeds, std::uint32_t step, std::uint64_t first,
                          std::size_t count) {
  std::vector<float> out(seeds.size() * count);
  fewstep::normal(seeds, step, first, out);
  return out;
}

template <typename F>
bool refuses(F&& call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

// The three philox4x32-10 lines of Random123's kat_vectors.
void test_philox_known_answers() {
  const fewstep::PhiloxWords zeros{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const fewstep::PhiloxWords ones{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  const fewstep::PhiloxWords pi{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
  const std::uint32_t f = 0xffffffff;
  CHECK(fewstep::philox4x32_10({0, 0, 0, 0}, {0, 0}) == zeros);
  CHECK(fewstep::philox4x32_10({f, f, f, f}, {f, f}) == ones);
  CHECK(fewstep::philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) == pi);
}

// The definition, one element at a time, with the C library's functions.
float reference(std::uint64_t seed, std::uint32_t step, std::uint64_t element) {
  const std::uint64_t block = element / 4;
  const auto w =
      fewstep::philox4x32_10({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), step, 0},
                             {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  const std::size_t pair = element % 4 / 2 * 2;
  const double u1 = ((w[pair] >> 8) + 1) / 16777216.0, u2 = (w[pair + 1] >> 8) / 16777216.0;
  const double radius = std::sqrt(-2 * std::log(u1)), angle = 2 * std::numbers::pi * u2;
  return static_cast<float>(radius * (element % 2 == 0 ? std::cos(angle) : std::sin(angle)));
}

// Both compute in double, so they round to different floats about once in 10^8 elements.
void test_stream_is_its_definition() {
  int differing = 0;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{1} << 32, kMax}) {
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1} << 34, kMax - 40002}) {
      const std::vector<float> x = normal({seed}, 3, first, 40003);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float expected = reference(seed, 3, first + i);
        CHECK(std::abs(x[i] - expected) <= 1e-7f * std::abs(expected) + 1e-14f);
        differing += x[i] != expected;
      }
    }
  }
  CHECK(differing <= 2);
}

void test_slices_agree() {
  const std::vector<float> whole = normal({5, 6}, 1, 0, 300);
  for (std::size_t first = 0; first < 40; ++first) {
    for (std::size_t count = 1; count < 260; count += 13) {
      const std::vector<float> slice = normal({6}, 1, first, count);
      for (std::size_t i = 0; i < count; ++i) CHECK(slice[i] == whole[300 + first + i]);
    }
  }
}

void test_refusals() {
  std::vector<float> out(7);
  const std::vector<std::uint64_t> none, two{1, 2};
  CHECK(refuses([&] { fewstep::normal(none, 0, 0, out); }));
  CHECK(refuses([&] { fewstep::normal(two, 0, 0, out); }));
  CHECK(refuses([] { normal({1}, 0, kMax, 2); }));
  CHECK(normal({1}, 0, kMax, 1).size() == 1);
  CHECK(normal({}, 0, 0, 0).empty());
}

}  // namespace

int main() {
  test_philox_known_answers();
  test_stream_is_its_definition();
  test_slices_agree();
  test_refusals();
}
