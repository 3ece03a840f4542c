// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw ("Parallel random numbers: as
// easy as 1, 2, 3", SC 2011): four random words from a 128-bit counter and a 64-bit key, with no state, so
// that any element's randomness is the same on every backend and in every order of evaluation.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

struct Philox4 {
  std::uint32_t word[4];
};

constexpr int kPhiloxRounds = 10;
constexpr std::uint64_t kPhiloxFactor0 = 0xD2511F53U;
constexpr std::uint64_t kPhiloxFactor1 = 0xCD9E8D57U;
constexpr std::uint32_t kPhiloxKeyStep0 = 0x9E3779B9U;
constexpr std::uint32_t kPhiloxKeyStep1 = 0xBB67AE85U;

HOST_DEVICE void philox_round(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2, std::uint32_t& c3,
                              std::uint32_t key0, std::uint32_t key1) {
  const std::uint64_t p0 = kPhiloxFactor0 * c0;
  const std::uint64_t p1 = kPhiloxFactor1 * c2;
  c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ key0;
  c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ key1;
  c1 = static_cast<std::uint32_t>(p1);
  c3 = static_cast<std::uint32_t>(p0);
}

HOST_DEVICE Philox4 philox4x32(Philox4 counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    philox_round(counter.word[0], counter.word[1], counter.word[2], counter.word[3], key0, key1);
    key0 += kPhiloxKeyStep0;
    key1 += kPhiloxKeyStep1;
  }
  return counter;
}

// Uniform in [0, 1): the upper 24 bits, exact in float.
HOST_DEVICE float unit_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

}  // namespace trainer
