// Elementary functions in double, for values that a step or an initialisation computes once: of +, -, x, / and integers alone, so
// that they have the same bits on every machine that does not fuse them. Each is within two units in the last place of a double.
#pragma once

#include <cstdint>

#include "kernels/math/division.hpp"

namespace trainer {

// e^x; 0 below x = -700, infinity above 700. x = n log 2 + r, |r| <= 0.35, and the Taylor series of e^r.
HOST_DEVICE double exponential_of(double x) {
  constexpr double kRound =
      6755399441055744.0;  // 1.5 * 2^52: adding it leaves the nearest whole number in the low bits
  if (x < -700.0) return 0.0;
  if (x > 700.0) return __builtin_inf();
  const double shifted = x * 1.4426950408889634 + kRound;
  const double n = shifted - kRound;
  const double r =
      (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;  // log 2 in two parts (fdlibm)
  double sum = 1.0;
  for (int k = 13; k >= 1; --k) sum = 1.0 + exact_quotient(r * sum, static_cast<double>(k));
  return __builtin_bit_cast(
      double, __builtin_bit_cast(std::uint64_t, sum) + (__builtin_bit_cast(std::uint64_t, shifted) << 52U));
}

// The natural logarithm of a positive normal x = 2^e m, m in [sqrt(1/2), sqrt(2)): with s = (m - 1) / (m + 1), log m =
// 2 (s + s^3 / 3 + s^5 / 5 + ...).
HOST_DEVICE double logarithm_of(double x) {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  auto e = static_cast<double>(static_cast<std::int64_t>(bits >> 52U) - 1023);
  double m = __builtin_bit_cast(double, (bits & 0x000FFFFFFFFFFFFFU) | 0x3FF0000000000000U);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    e = e + 1.0;
  }
  const double s = exact_quotient(m - 1.0, m + 1.0);
  const double z = s * s;
  double sum = 0;
  for (int k = 23; k >= 3; k -= 2) sum = (sum + exact_quotient(1.0, static_cast<double>(k))) * z;
  return e * 6.93147180369123816490e-01 + (2.0 * s + (2.0 * s * sum + e * 1.90821492927058770002e-10));
}

// x^y for a base from 0 on that is not subnormal, and y above 0 if it is 0.
HOST_DEVICE double power_of(double x, double y) {
  return x == 0 ? 0.0 : exponential_of(y * logarithm_of(x));
}

namespace detail {

HOST_DEVICE double taylor(double angle, int first) {  // first = 0: cos, 1: sin
  const double z = angle * angle;
  double sum = 1.0;
  for (int k = 16 + first; k > first; k -= 2)
    sum = 1.0 - exact_quotient(z * sum, static_cast<double>(k * (k - 1)));
  return first == 0 ? sum : angle * sum;
}

}  // namespace detail

// cos(pi u) for u in [-1, 2], folded to [0, 1/4], where the Taylor series of cosine or sine is short.
HOST_DEVICE double cosine_of_pi(double u) {
  constexpr double kPi = 3.14159265358979323846;
  const double positive = u < 0 ? -u : u;
  const double half = positive > 1.0 ? 2.0 - positive : positive;
  const bool negative = half > 0.5;
  const double v = negative ? 1.0 - half : half;
  const double cosine = v <= 0.25 ? detail::taylor(v * kPi, 0) : detail::taylor((0.5 - v) * kPi, 1);
  return negative ? -cosine : cosine;
}

}  // namespace trainer
