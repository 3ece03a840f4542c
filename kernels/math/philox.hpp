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

HOST_DEVICE Philox4 philox4x32(Philox4 counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * counter.word[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(p1 >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(p1),
                static_cast<std::uint32_t>(p0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<std::uint32_t>(p0)}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

// Uniform in [0, 1): the upper 24 bits, exact in float.
HOST_DEVICE float unit_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

}  // namespace trainer
