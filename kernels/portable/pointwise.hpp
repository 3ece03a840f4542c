// Ops of single elements.
#pragma once

#include <cstdint>

#include "kernels/math/dropout.hpp"
#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

// What an activation makes of x or, if `dy` is set, the gradient it makes of dy. LeakyReLU with slope 0 is ReLU.
struct Activation {
  enum class Kind : std::uint8_t { leaky_relu, gelu };

  int batch = 0;
  int size = 0;
  Kind kind = Kind::leaky_relu;
  float slope = 0;
  const float* x = nullptr;  // [batch, size], like dy and the result
  const float* dy = nullptr;
  float* to = nullptr;

  HOST_DEVICE Units units() const { return {batch, size}; }
  HOST_DEVICE void unit(int n, int j) const {
    const std::int64_t i = std::int64_t{n} * size + j;
    if (kind == Kind::gelu) {
      to[i] = dy == nullptr ? gelu<float, std::uint32_t>(x[i])
                            : dy[i] * gelu_derivative<float, std::uint32_t>(x[i]);
    } else if (dy == nullptr) {
      to[i] = x[i] > 0 || x[i] != x[i] ? x[i] : slope * x[i];
    } else {
      to[i] = x[i] > 0 ? dy[i] : slope * dy[i];
    }
  }
};

// to = from times the dropout factor of the step (kernels/math/dropout.hpp). Unit: four elements, which share random numbers.
struct Dropout {
  std::int64_t count = 0;
  float drop = 0;  // 0: a copy
  std::uint32_t stream = 0;
  const StepState* state = nullptr;
  const float* from = nullptr;
  float* to = nullptr;

  HOST_DEVICE Units units() const { return {static_cast<int>((count + 3) / 4), 1, 1, 64}; }
  HOST_DEVICE void unit(int four) const {
    for (std::int64_t i = std::int64_t{four} * 4; i < std::int64_t{four} * 4 + 4 && i < count; ++i)
      to[i] = from[i] * dropout_factor(drop, state->seed, stream, state->step, static_cast<std::uint64_t>(i));
  }
};

}  // namespace trainer::portable
