// Division and roots, correctly rounded. On a GPU nvcc builds both, and the division of integers by a number known only at run time,
// of fused operations and approximations. A file that defines TRAINER_PORTABLE gets them in functions of their own, which the
// check of machine code (scripts/machine_code/portable.py) can tell from a product and a sum that were fused by mistake.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

#if defined(__CUDA_ARCH__) && defined(TRAINER_PORTABLE)
#define TRAINER_DIVISION(type, name)                                                   \
  extern "C" __device__ __noinline__ inline type portable_div_##name(type a, type b) { \
    return a / b;                                                                      \
  }                                                                                    \
  __device__ __forceinline__ type exact_quotient(type a, type b) {                     \
    return portable_div_##name(a, b);                                                  \
  }
TRAINER_DIVISION(float, float)
TRAINER_DIVISION(double, double)
TRAINER_DIVISION(std::uint32_t, word)
TRAINER_DIVISION(std::uint64_t, long)
#undef TRAINER_DIVISION
extern "C" __device__ __noinline__ inline float portable_sqrt_float(float a) {
  return sqrtf(a);
}
extern "C" __device__ __noinline__ inline double portable_sqrt_double(double a) {
  return sqrt(a);
}
__device__ __forceinline__ float exact_root(float a) {
  return portable_sqrt_float(a);
}
__device__ __forceinline__ double exact_root(double a) {
  return portable_sqrt_double(a);
}
#else
// T is float, double, an unsigned integer, or a vector of floats.
template <typename T>
HOST_DEVICE T exact_quotient(T a, T b) {
  return a / b;
}
HOST_DEVICE float exact_root(float a) {
  return __builtin_sqrtf(a);
}
HOST_DEVICE double exact_root(double a) {
  return __builtin_sqrt(a);
}
#endif

HOST_DEVICE std::uint64_t remainder_of(std::uint64_t a, std::uint64_t b) {
#if defined(__CUDA_ARCH__) && defined(TRAINER_PORTABLE)
  return a - exact_quotient(a, b) * b;
#else
  return a % b;
#endif
}

// a / b in loops over many elements; on a GPU to two units in the last place, and 0 for |b| from 2^126 on, where portable bits
// do not ask for more: an exact division calls a subroutine for some operands, and the compiler moves no load across a call.
HOST_DEVICE float quotient_in_loops(float a, float b) {
#if defined(__CUDA_ARCH__) && !defined(TRAINER_PORTABLE)
  return __fdividef(a, b);
#else
  return exact_quotient(a, b);
#endif
}

}  // namespace trainer
