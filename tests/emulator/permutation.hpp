// An order of n things derived from a seed: i -> (a i + b) mod n with a and n coprime. Threads and blocks run in such
// orders, so that a kernel that depends on the order gives different results from launch to launch.
#pragma once

#include <cstdint>
#include <numeric>

namespace emulator {

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the seed affects every bit of the result.
constexpr std::uint64_t scramble(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

class Permutation {
 public:
  Permutation() = default;
  // Seed 0 gives the natural order.
  Permutation(std::uint64_t count, std::uint64_t seed) : count_(count) {
    if (seed == 0 || count < 2) return;
    const std::uint64_t random = scramble(seed);
    offset_ = random % count;
    factor_ = (random >> 32U) % count;
    while (factor_ == 0 || std::gcd(factor_, count) != 1) factor_ = (factor_ + 1) % count;
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t operator()(std::uint64_t i) const { return (i * factor_ + offset_) % count_; }

 private:
  std::uint64_t count_ = 1;
  std::uint64_t factor_ = 1;
  std::uint64_t offset_ = 0;
};

}  // namespace emulator
