// The order of an epoch: a permutation of 0 .. n-1 computed from (seed, epoch) one position at a time, without
// a table or state. A Feistel network of 6 rounds permutes 0 .. N-1, N the smallest power of four from 256 on
// that is at least n; a value from n on is permuted again until it is below n (Black and Rogaway, "Ciphers with
// arbitrary finite domains", 2002), which takes at most four evaluations on average for n >= 64. It is here
// with the other device functions, not in data/, because the step itself evaluates it.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

// A bijective scrambling of 32 bits under a key (the finaliser of MurmurHash3).
HOST_DEVICE std::uint32_t scramble(std::uint32_t x, std::uint32_t key) {
  x ^= key;
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

// The image at position `position` (< n) of epoch `epoch`. n is 1 to 2^31.
HOST_DEVICE std::uint32_t permuted(std::uint32_t position, std::uint32_t n, std::uint64_t seed,
                                   std::uint64_t epoch) {
  std::uint32_t half_bits = 4;
  while ((std::uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const std::uint32_t mask = (1U << half_bits) - 1;
  const std::uint32_t key = scramble(static_cast<std::uint32_t>(seed), 0x9E3779B9U) ^
                            scramble(static_cast<std::uint32_t>(seed >> 32), 0x7F4A7C15U) ^
                            scramble(static_cast<std::uint32_t>(epoch), 0x94D049BBU);
  std::uint32_t value = position;
  do {
    std::uint32_t left = value >> half_bits;
    std::uint32_t right = value & mask;
    for (std::uint32_t round = 0; round < 6; ++round) {
      const std::uint32_t mixed = left ^ (scramble(right, key + round * 0x9E3779B9U) & mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits | right;
  } while (value >= n);
  return value;
}

}  // namespace trainer
