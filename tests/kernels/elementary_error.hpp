// How far the elementary functions of the portable engine are from the exact values: those of the math library in double, or in
// long double where the double lies so close to the middle of two floats that rounding it may pick the wrong one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "kernels/portable/elementary.hpp"

namespace trainer {

constexpr std::uint64_t kFloats = std::uint64_t{1} << 32;

// The distance from the size of `value`, which is finite, to the next larger float.
inline double spacing(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value) & 0x7FFFFFFFU;
  return static_cast<double>(__builtin_bit_cast(float, bits + 1)) -
         static_cast<double>(__builtin_bit_cast(float, bits));
}

// Floats in their order, as whole numbers.
inline std::int64_t place_of(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const auto magnitude = static_cast<std::int64_t>(bits & 0x7FFFFFFFU);
  return bits >> 31U != 0 ? -magnitude : magnitude;
}

struct Worst {
  double error = 0;         // from the exact value, in the unit of the function
  std::int64_t floats = 0;  // from the float nearest to the exact value
  float at = 0;

  void take(const Worst& other) {
    if (other.error > error) {
      error = other.error;
      at = other.at;
    }
    floats = std::max(floats, other.floats);
  }
};

// The worst of every `stride`th float from `begin` on. F has got(x), want(x) in double and long double, unit(x, step), where step is
// the spacing() of the exact value, and claims(x): whether its bounds kMostError and kMostFloats hold for x.
template <typename F>
Worst worst_of(std::uint64_t begin, std::uint64_t end, std::uint64_t stride) {
  constexpr double kDoubtful = 0x1p-26;  // of a spacing of floats: more than the error of the double function
  Worst worst;
  for (std::uint64_t bits = begin; bits < end; bits += stride) {
    const float x = __builtin_bit_cast(float, static_cast<std::uint32_t>(bits));
    if (!F::claims(x)) continue;
    const double exact = F::want(static_cast<double>(x));
    auto nearest = static_cast<float>(exact);
    const double step = spacing(nearest);
    const double from_middle = std::abs(std::abs(exact - static_cast<double>(nearest)) - step / 2);
    if (from_middle < kDoubtful * step) nearest = static_cast<float>(F::want(static_cast<long double>(x)));
    const float got = F::got(x);
    worst.take({std::abs(static_cast<double>(got) - exact) / F::unit(x, step),
                std::abs(place_of(got) - place_of(nearest)), x});
  }
  return worst;
}

// The same over all floats, on all cores.
template <typename F>
Worst worst_over_floats(std::uint64_t stride) {
  const std::uint64_t parts = std::max(1U, std::thread::hardware_concurrency());
  std::vector<Worst> found(parts);
  std::vector<std::thread> threads;
  for (std::uint64_t p = 0; p < parts; ++p) {
    threads.emplace_back([&found, p, parts, stride] {
      const std::uint64_t begin = kFloats * p / parts / stride * stride;
      found[p] = worst_of<F>(begin, kFloats * (p + 1) / parts, stride);
    });
  }
  Worst worst;
  for (std::uint64_t p = 0; p < parts; ++p) {
    threads[p].join();
    worst.take(found[p]);
  }
  return worst;
}

// The unit is that in the last place of the exact value; the range is that in which no result saturates.
struct Exponential {
  static constexpr double kMostError = 0.991;  // 0.9903 at 70.4031
  static constexpr std::int64_t kMostFloats = 1;
  static float got(float x) { return portable::exponential(x); }
  template <typename T>
  static T want(T x) {
    return std::exp(x);
  }
  static double unit(float /*x*/, double step) { return step; }
  static bool claims(float x) { return x >= -87.0F && x <= 88.0F; }
};

// Of positive normal floats.
struct Logarithm {
  static constexpr double kMostError = 0.830;  // 0.8291 at 0.699977
  static constexpr std::int64_t kMostFloats = 1;
  static float got(float x) { return portable::logarithm(x); }
  template <typename T>
  static T want(T x) {
    return std::log(x);
  }
  static double unit(float /*x*/, double step) { return step; }
  static bool claims(float x) { return x >= 0x1p-126F && x < INFINITY; }
};

// GELU is x times a factor in [0, 1], whose relative error is large where the factor is next to nothing: the unit is that of x. Far
// beyond |x| = 10, where the factor is what e^-88 and e^88 leave of it, there is nothing to see.
struct Gelu {
  static constexpr double kMostError = 1.99;  // 1.987 at 0.98618
  static constexpr std::int64_t kMostFloats = kFloats;
  static float got(float x) { return portable::gelu<float, std::uint32_t>(x); }
  template <typename T>
  static T want(T x) {
    return x / (1 + std::exp(-static_cast<T>(kGeluSlope) * (x + static_cast<T>(kGeluCube) * x * x * x)));
  }
  static double unit(float x, double /*step*/) { return spacing(x); }
  static bool claims(float x) { return std::abs(x) < 128; }
};

// The slope lies between -0.13 and 1.13: the unit is that of 1. The error comes from 1 - s where s rounds to nearly 1.
struct GeluSlope {
  static constexpr double kMostError = 16.6;  // 16.54
  static constexpr std::int64_t kMostFloats = kFloats;
  static float got(float x) { return portable::gelu_derivative<float, std::uint32_t>(x); }
  template <typename T>
  static T want(T x) {
    const T s = 1 / (1 + std::exp(-static_cast<T>(kGeluSlope) * (x + static_cast<T>(kGeluCube) * x * x * x)));
    return s + x * s * (1 - s) * static_cast<T>(kGeluSlope) * (1 + 3 * static_cast<T>(kGeluCube) * x * x);
  }
  static double unit(float /*x*/, double /*step*/) { return 0x1p-23; }
  static bool claims(float x) { return std::abs(x) < 128; }
};

using ElementaryFunctions = testing::Types<Exponential, Logarithm, Gelu, GeluSlope>;

}  // namespace trainer
