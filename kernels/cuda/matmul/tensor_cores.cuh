// The tensor-core instruction for fp32 data, and fp32 and TF32 products built on it. It adds 8 products of TF32 factors
// to each of 16 x 8 outputs; TF32 is fp32 with the last 13 of its 23 mantissa bits cut off. Lane 4 g + t of the warp
// holds (PTX ISA, mma.m16n8k8 with .tf32)
//   a[4]  of row g term t, of row g + 8 term t, of row g term t + 4, of row g + 8 term t + 4
//   b[2]  of column g term t, of column g term t + 4
//   d[4]  of row g columns 2 t and 2 t + 1, of row g + 8 the same
// It needs compute capability 8.0; on older GPUs the lanes exchange their factors by shuffles and multiply in fp32.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// How factors are given to the tensor cores. fp32: as two TF32 numbers each, the nearest one and the remainder, with
// three of their four products; this loses at most 2^-21 of a product and typically 2^-24. Infinity becomes NaN. tf32:
// for TF32 and lower precisions; bf16 and fp16 are TF32 numbers as they are.
enum class Factors { fp32, tf32 };

#if defined(TRAINER_EMULATED_CUDA) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800)
constexpr bool kTensorCores = true;
#else
constexpr bool kTensorCores = false;
#endif

// d += a b in fp32 on any GPU. The loop uses few registers, since whole tiles of it are unrolled.
__device__ inline void multiply_by_shuffles(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  const int row = static_cast<int>(threadIdx.x % 32) / 4 * 4;
  const int column = static_cast<int>(threadIdx.x % 4) * 8;
#pragma unroll 1
  for (int k = 0; k < 4; ++k) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float upper = __shfl_sync(~0U, a[2 * half], row + k);
      const float lower = __shfl_sync(~0U, a[2 * half + 1], row + k);
      const float left = __shfl_sync(~0U, b[half], column + k);
      const float right = __shfl_sync(~0U, b[half], column + 4 + k);
      d[0] += upper * left;
      d[1] += upper * right;
      d[2] += lower * left;
      d[3] += lower * right;
    }
  }
}

// d += a b by the instruction, which may truncate its sums, too.
__device__ inline void multiply_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#if defined(TRAINER_EMULATED_CUDA)
  emulated_multiply_tf32(d, a, b);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
  multiply_by_shuffles(d, a, b);
#endif
}

// Factors in the instruction's format. With two parts, NaN may be lost from the big one, but never from both.
template <Factors kFactors, unsigned kCount>
struct Parts {
  float big[kCount], small[kCount];

  __device__ explicit Parts(const float (&values)[kCount]) {
#pragma unroll
    for (unsigned i = 0; i < kCount; ++i) {
      big[i] = values[i];
      if constexpr (kTensorCores && kFactors == Factors::fp32)
        big[i] = __uint_as_float((__float_as_uint(values[i]) + 0x1000U) & 0xFFFFE000U);
      small[i] = values[i] - big[i];
    }
  }
};

// sum += a b. Products in parts are first added up separately, so that the tensor cores truncate sums of few terms, not
// the whole sum. With TF32 factors, their own rounding is far larger than that.
template <Factors kFactors, unsigned kSteps>
__device__ void multiply(float (&sum)[4], const Parts<kFactors, 4> (&a)[kSteps],
                         const Parts<kFactors, 2> (&b)[kSteps]) {
  if constexpr (kTensorCores && kFactors == Factors::fp32) {
    float few[4] = {};
#pragma unroll
    for (unsigned s = 0; s < kSteps; ++s) {
      multiply_tf32(few, a[s].small, b[s].big);
      multiply_tf32(few, a[s].big, b[s].small);
      multiply_tf32(few, a[s].big, b[s].big);
    }
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) sum[i] += few[i];
  } else {
#pragma unroll
    for (unsigned s = 0; s < kSteps; ++s) multiply_tf32(sum, a[s].big, b[s].big);
  }
}

}  // namespace trainer::cuda
