// The digests (trainer/train/digest.hpp) that portable bits must meet on every machine: the rows of digests.yaml, which the build
// turns into one constant table. scripts/write_digests.sh writes them, and a test trains each of them again. Whoever proves a device
// compares with this table and computes none of it, so that a program that computes wrongly cannot agree with itself.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace trainer {

// The digest of a shipped network with its own recipe, on the shipped MNIST.
struct KnownDigest {
  std::string_view network;
  std::uint64_t seed = 0;
  int steps = 0;            // 2: `trainer train --batch 16 --limit-train 32 --epochs 1`; 0: the whole recipe
  std::string_view digest;  // 64 hexadecimal digits
};

std::span<const KnownDigest> known_digests();

}  // namespace trainer
