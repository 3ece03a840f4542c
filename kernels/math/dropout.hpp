// The dropout mask: a pure function of (seed, stream, step, element), so that forward and backward, every
// backend and every replay of a step agree on it without storing it.
#pragma once

#include <cstdint>

#include "kernels/math/division.hpp"
#include "kernels/math/philox.hpp"

namespace trainer {

// The factor of x[element]: 1 / (1 - drop) if it is kept, else 0. `element` is its index in the whole batch
// of all ranks [n, h, w, c]; four neighbours share one call of the generator. 0 <= drop < 1.
HOST_DEVICE float dropout_factor(float drop, std::uint64_t seed, std::uint32_t stream, std::uint64_t step,
                                 std::uint64_t element) {
  const Philox4 random =
      philox4x32({{static_cast<std::uint32_t>(element / 4), static_cast<std::uint32_t>(step),
                   static_cast<std::uint32_t>(step >> 32), stream}},
                 static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  return unit_float(random.word[element % 4]) >= drop ? exact_quotient(1.0F, 1 - drop) : 0.0F;
}

}  // namespace trainer
