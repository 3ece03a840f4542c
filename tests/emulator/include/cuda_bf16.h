// bfloat16 of the emulated CUDA: the upper half of a float. Conversions round to nearest, ties to even, like the
// toolkit's; arithmetic is done in float and rounded once.
#pragma once

#include <bit>
#include <cstdint>
#include <emulated/vectors.hpp>

struct __nv_bfloat16_raw {
  unsigned short x;
};

struct alignas(2) __nv_bfloat16 {
  unsigned short bits;

  __nv_bfloat16() = default;
  __nv_bfloat16(float value) {  // NOLINT(google-explicit-constructor): as in the toolkit
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t even = word >> 16U & 1U;
    const bool nan = (word & 0x7FFFFFFFU) > 0x7F800000U;
    bits = nan ? 0x7FFFU : static_cast<unsigned short>((word + 0x7FFFU + even) >> 16U);
  }
  __nv_bfloat16(const __nv_bfloat16_raw& raw) : bits(raw.x) {}  // NOLINT(google-explicit-constructor)
  operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16U); }  // NOLINT
  operator __nv_bfloat16_raw() const { return {bits}; }                                // NOLINT
};

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

inline __nv_bfloat16 __float2bfloat16(float value) {
  return {value};
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return {value};
}
inline float __bfloat162float(__nv_bfloat16 value) {
  return value;
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {x, y};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 value) {
  return {value.x, value.y};
}
inline float2 __bfloat1622float2(__nv_bfloat162 value) {
  return {value.x, value.y};
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
  return {x, y};
}
inline float __low2float(__nv_bfloat162 value) {
  return value.x;
}
inline float __high2float(__nv_bfloat162 value) {
  return value.y;
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
  return value.bits;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return __nv_bfloat16_raw{bits};
}
