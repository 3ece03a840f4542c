// The order of an epoch: a permutation of 0 .. n-1 computed one position at a time, without a table and
// without state, from (seed, epoch). A Feistel network of 6 rounds permutes the smallest square power of four
// that holds n, and a value outside n walks on along its cycle until it falls inside (Black and Rogaway,
// "Ciphers with arbitrary finite domains", 2002): at most four trips on average. It stands beside the other
// device functions, not in data/, because the step itself evaluates it.
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

// Where position `position` (< n) of pass `epoch` points. Any n from 1 to 2^31.
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
