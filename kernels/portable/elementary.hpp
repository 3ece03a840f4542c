// Division, roots and elementary functions that give the same bits on every machine: of correctly rounded operations and integers
// alone, each written in one order. The files that include this are compiled without fused multiply-add (-ffp-contract=off,
// --fmad=false). V is float, or a vector of floats whose lanes are computed alike.
#pragma once

#include <cfloat>
#include <cstdint>

#include "kernels/math/gelu.hpp"

static_assert(FLT_EVAL_METHOD == 0, "floats are computed as floats");

namespace trainer::portable {

template <typename V>
HOST_DEVICE V portable_div(V a, V b) {
  return exact_quotient(a, b);
}
HOST_DEVICE float portable_sqrt(float a) {
  return exact_root(a);
}

// e^x to about one unit in the last place: x = n log 2 + r, and e^r is a polynomial (Cephes, expf). A NaN stays a NaN; results
// saturate at e^-87 and e^88. W is an unsigned integer of 32 bits, or a vector of such.
template <typename V, typename W>
HOST_DEVICE V exponential(V x) {
  const V most = V{} + 88.0F;
  const V least = V{} - 87.0F;
  const V round = V{} + 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
  x = x > most ? most : x;
  x = x < least ? least : x;
  const V shifted = x * 1.44269504088896341F + round;
  const V n = shifted - round;
  const V r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  V p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * (r * r) + r) + 1.0F;
  return __builtin_bit_cast(V, __builtin_bit_cast(W, p) + (__builtin_bit_cast(W, shifted) << 23));
}
HOST_DEVICE float exponential(float x) {
  return exponential<float, std::uint32_t>(x);
}

// The natural logarithm of a positive normal float: x = 2^e m with m in [sqrt(1/2), sqrt(2)) (Cephes, logf).
HOST_DEVICE float logarithm(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  int e = static_cast<int>(bits >> 23) - 126;
  float m = __builtin_bit_cast(float, (bits & 0x007FFFFFU) | 0x3F000000U);
  if (m < 0.707106781186547524F) {
    e -= 1;
    m = m + m;
  }
  m = m - 1.0F;
  const float z = m * m;
  const auto n = static_cast<float>(e);
  float p = 7.0376836292e-2F;
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  const float y = (p * m * z + n * -2.12194440e-4F) - 0.5F * z;
  return (m + y) + n * 0.693359375F;
}

// GELU by the logistic function s(u), as kernels/math/gelu.hpp has it.
template <typename V, typename W>
HOST_DEVICE V gelu_sigmoid(V x) {
  return portable_div(V{} + 1.0F, exponential<V, W>((x + x * x * x * kGeluCube) * -kGeluSlope) + 1.0F);
}
template <typename V, typename W>
HOST_DEVICE V gelu(V x) {
  return x * gelu_sigmoid<V, W>(x);
}
template <typename V, typename W>
HOST_DEVICE V gelu_derivative(V x) {
  const V s = gelu_sigmoid<V, W>(x);
  return s + x * s * (1.0F - s) * ((x * x * (3 * kGeluCube) + 1.0F) * kGeluSlope);
}

}  // namespace trainer::portable
