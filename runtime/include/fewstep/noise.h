#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace fewstep {

using PhiloxWords = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// Philox 4x32 with 10 rounds: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
PhiloxWords philox4x32_10(PhiloxWords counter, PhiloxKey key) noexcept;

// Writes elements first, first + 1, ... of the unit normal stream of each seed: out is (seeds, count), row-major.
//
// 1. An element depends on (seed, step, its index) alone, so any slicing of seeds or elements gives the same numbers.
// 2. Element e is normal e % 4 of Philox block e / 4: key (seed low, seed high), counter (block low, block high, step,
// 0).
// 3. Words w0 to w3 give two Box-Muller pairs sqrt(-2 ln u1) (cos 2 pi u2, sin 2 pi u2), with
//    u1 = ((w0 >> 8) + 1) / 2^24 and u2 = (w1 >> 8) / 2^24, then w2 and w3 likewise; hence |x| <= 5.768.
// 4. Computed in double without the C library's functions and rounded once, so every IEEE machine gives the same bits.
//
// Throws std::invalid_argument if out is no whole number of elements a seed, or reaches past element 2^64 - 1.
void normal(std::span<const std::uint64_t> seeds, std::uint32_t step, std::uint64_t first, std::span<float> out);

}  // namespace fewstep
