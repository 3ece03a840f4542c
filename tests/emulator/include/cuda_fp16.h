// Half precision of the emulated CUDA: 1 sign, 5 exponent, 10 mantissa bits. Conversions round to nearest, ties to
// even, and keep subnormal numbers, like the toolkit's; arithmetic is done in float and rounded once.
#pragma once

#include <bit>
#include <cstdint>
#include <emulated/vectors.hpp>

namespace emulator {

inline unsigned short half_bits(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = word >> 16U & 0x8000U;
  const std::uint32_t magnitude = word & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return 0x7FFFU;  // NaN
  if (magnitude >= 0x477FF000U)
    return static_cast<unsigned short>(sign | 0x7C00U);  // from 65520 on: infinity
  if (magnitude < 0x38800000U) {
    // Below 2^-14 the spacing is 2^-24. Adding 0.5 rounds to it, since floats from 0.5 have just that spacing.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<unsigned short>(sign | (std::bit_cast<std::uint32_t>(rounded) - 0x3F000000U));
  }
  const std::uint32_t even = magnitude >> 13U & 1U;
  const std::uint32_t rebased = magnitude - (112U << 23U);  // from exponent bias 127 to 15
  return static_cast<unsigned short>(sign | (rebased + 0xFFFU + even) >> 13U);
}

inline float half_value(unsigned short bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t exponent = bits >> 10U & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | mantissa << 13U);
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112U) << 23U | mantissa << 13U);
}

}  // namespace emulator

struct __half_raw {
  unsigned short x;
};

struct alignas(2) __half {
  unsigned short bits;

  __half() = default;
  __half(float value)
      : bits(emulator::half_bits(value)) {}       // NOLINT(google-explicit-constructor): as in the toolkit
  __half(const __half_raw& raw) : bits(raw.x) {}  // NOLINT(google-explicit-constructor)
  operator float() const { return emulator::half_value(bits); }  // NOLINT(google-explicit-constructor)
  operator __half_raw() const { return {bits}; }                 // NOLINT(google-explicit-constructor)
};

struct alignas(4) __half2 {
  __half x, y;
};

using half = __half;
using half2 = __half2;

inline __half __float2half(float value) {
  return {value};
}
inline __half __float2half_rn(float value) {
  return {value};
}
inline float __half2float(__half value) {
  return value;
}
inline __half2 __floats2half2_rn(float x, float y) {
  return {x, y};
}
inline __half2 __float22half2_rn(float2 value) {
  return {value.x, value.y};
}
inline float2 __half22float2(__half2 value) {
  return {value.x, value.y};
}
inline __half2 __halves2half2(__half x, __half y) {
  return {x, y};
}
inline float __low2float(__half2 value) {
  return value.x;
}
inline float __high2float(__half2 value) {
  return value.y;
}
inline unsigned short __half_as_ushort(__half value) {
  return value.bits;
}
inline __half __ushort_as_half(unsigned short bits) {
  return __half_raw{bits};
}
