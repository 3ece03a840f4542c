// GELU in its tanh form (Hendrycks and Gimpel 2016), with s(z) = 1 / (1 + exp(-z)) in place of
// (1 + tanh(z / 2)) / 2:
//   gelu(x) = x s(u),  u = 2 sqrt(2 / pi) (x + 0.044715 x^3)
//   gelu'(x) = s(u) + x s(u) (1 - s(u)) du/dx
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/math/division.hpp"

namespace trainer {

constexpr float kGeluSlope = 1.5957691216057308F;  // 2 sqrt(2 / pi)
constexpr float kGeluCube = 0.044715F;

// exp to about one unit in the last place, for loops that the compiler vectorises: x = n log 2 + r, and exp(r)
// is a polynomial (Cephes). A NaN stays a NaN; results saturate at exp(-87) and exp(88).
HOST_DEVICE float exp_in_loops(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: the low bits of a sum with it are the nearest integer
  x = x > 88.0F ? 88.0F : x;
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504088896341F + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1;
  const auto exponent = __builtin_bit_cast(std::uint32_t, shifted) << 23;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, p) + exponent);
#endif
}

HOST_DEVICE float gelu_sigmoid(float x) {
  return quotient_in_loops(1, 1 + exp_in_loops(-kGeluSlope * (x + kGeluCube * x * x * x)));
}

HOST_DEVICE float gelu(float x) {
  return x * gelu_sigmoid(x);
}

HOST_DEVICE float gelu_derivative(float x) {
  const float s = gelu_sigmoid(x);
  return s + x * s * (1 - s) * kGeluSlope * (1 + 3 * kGeluCube * x * x);
}

}  // namespace trainer
