// Two per-channel sums over a batch's positions, in kernels that then use them: a block takes a slice of the channels
// and a part of the positions, a thread one channel; the blocks of a slice wait for one another, and each adds up the
// sums of all (in the same order, so each gets the same bits). Also, what batch normalisation computes from the sums of
// x and x^2, which are in double because the variance is a difference of two of them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_code/grid_barrier.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/math/gelu.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

// Bytes of the partial sums, two for each channel and block.
constexpr std::size_t slice_sums_bytes(unsigned blocks, unsigned width) {
  return 2 * sizeof(double) * blocks * width;
}

// Arguments of a kernel that contains a batch normalisation.
struct NormArgs {
  float epsilon = 0;
  float momentum = 0;
  const float* beta = nullptr;  // [c], like the next four
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* mean = nullptr;        // the batch's; null in inference
  float* inv_std = nullptr;     // the same; 1 / sqrt(var + epsilon)
  double* partial = nullptr;    // slice_sums_bytes()
  unsigned* barrier = nullptr;  // the context's
  const StepState* state = nullptr;
};

constexpr std::size_t saved_statistics_bytes(int channels) {
  return 2 * sizeof(float) * static_cast<std::size_t>(channels);
}

// `kept`: saved_statistics_bytes(), null in inference.
inline NormArgs norm_args(const BatchNormDesc& desc, const OpArgs& args, std::byte* kept, double* partial,
                          unsigned* barrier) {
  auto* mean = reinterpret_cast<float*>(kept);
  return {desc.epsilon,
          desc.momentum,
          args.b,
          args.running_mean,
          args.running_variance,
          mean,
          mean == nullptr ? nullptr : mean + desc.in.c,
          partial,
          barrier,
          args.state};
}

// A thread's place in its block: channel `lane` of the slice, in one of at least two rows of `width` adjacent threads.
// Threads from row `rows` on have nothing to do.
struct SliceThread {
  unsigned width, lane, row, rows;
  unsigned part, parts;  // the block's number among the blocks of its slice, which are adjacent
};

template <unsigned kThreads>
__device__ SliceThread slice_thread(unsigned width, unsigned parts) {
  return {width, threadIdx.x % width, threadIdx.x / width, kThreads / width, blockIdx.x % parts, parts};
}

// Turns `own` into the sums over all rows of the block. All threads call it.
template <unsigned kThreads>
static __device__ void sum_rows(const SliceThread& at, double (&own)[2]) {
  __shared__ double sums[2][kThreads];
  const unsigned t = threadIdx.x;
  for (unsigned k = 0; k < 2; ++k) sums[k][t] = own[k];
  for (unsigned rows = at.rows; rows > 1;) {
    const unsigned half = (rows + 1) / 2;
    __syncthreads();
    if (at.row + half < rows) {
      for (unsigned k = 0; k < 2; ++k) sums[k][t] += sums[k][t + half * at.width];
    }
    rows = half;
  }
  __syncthreads();
  for (unsigned k = 0; k < 2; ++k) own[k] = sums[k][at.lane];
  __syncthreads();
}

// Turns `own` into the sums over all blocks of the slice, using NormArgs' partial and barrier. All threads call it.
template <unsigned kThreads>
static __device__ void sum_slice(const SliceThread& at, double* partial, unsigned* barrier,
                                 double (&own)[2]) {
  sum_rows<kThreads>(at, own);
  if (at.parts == 1) return;
  const std::size_t half = std::size_t{gridDim.x} * at.width;
  double* slice = partial + std::size_t{blockIdx.x - at.part} * at.width + at.lane;
  for (unsigned k = 0; k < 2; ++k) {
    if (at.row == 0) slice[k * half + std::size_t{at.part} * at.width] = own[k];
    own[k] = 0;
  }
  wait_for_grid(barrier);
  const auto load = [&](unsigned b) {
    return double2{slice[std::size_t{b} * at.width], slice[half + std::size_t{b} * at.width]};
  };
  const auto use = [&](unsigned, double2 sums) {
    own[0] += sums.x;
    own[1] += sums.y;
  };
  for_strided<8>(at.row < at.rows ? at.row : at.parts, at.parts, at.rows, load, use);  // loads in a row: 8
  sum_rows<kThreads>(at, own);
}

// xh = (x - mean) inv_std
struct Centring {
  float mean, inv_std;
};

// Centring of channel c, from the sums of x and x^2 over `count` positions; the thread that `writes` stores the statistics. There
// are none if other ranks have all images of a last batch: the running statistics are then kept.
__device__ inline Centring batch_centring(const NormArgs& s, unsigned c, const double (&sums)[2],
                                          double count, bool writes) {
  const double m = count < 1 ? 1 : count;
  const double mean = sums[0] / m;
  const double spread = sums[1] / m - mean * mean;
  const double variance = spread < 0 ? 0 : spread;
  const double inv_std = 1 / sqrt(variance + static_cast<double>(s.epsilon));
  if (writes) {
    s.mean[c] = static_cast<float>(mean);
    s.inv_std[c] = static_cast<float>(inv_std);
  }
  if (writes && count > 0) {
    const double unbiased = m > 1 ? variance * m / (m - 1) : variance;
    const double momentum = s.momentum;
    s.running_mean[c] = static_cast<float>((1 - momentum) * s.running_mean[c] + momentum * mean);
    s.running_variance[c] = static_cast<float>((1 - momentum) * s.running_variance[c] + momentum * unbiased);
  }
  return {static_cast<float>(mean), static_cast<float>(inv_std)};
}

__device__ inline Centring running_centring(const NormArgs& s, unsigned c) {
  return {s.running_mean[c], 1 / sqrtf(s.running_variance[c] + s.epsilon)};
}

// u = gamma xh + beta, then GELU if with_gelu.
__device__ inline float normalised(float z, const Centring& to, float beta, bool with_gelu, float gamma = 1) {
  const float u = (z - to.mean) * to.inv_std * gamma + beta;
  return with_gelu ? gelu(u) : u;
}

// The gradient of the normalisation, for one channel: dz from dy, through the gradient du of u (op.hpp).
struct NormGradient {
  Centring to;
  float beta;
  bool gelu;
  float gamma = 1;
  float mean_du = 0, mean_du_xh = 0;

  __device__ float xh(float z) const { return (z - to.mean) * to.inv_std; }
  __device__ float du(float dy, float normal) const {
    return gelu ? dy * gelu_derivative(gamma * normal + beta) : dy;
  }
  // Takes the means from the sums of du and du xh over `count` positions.
  __device__ void take_means(const double (&sums)[2], double count) {
    const double m = count < 1 ? 1 : count;
    mean_du = static_cast<float>(sums[0] / m);
    mean_du_xh = static_cast<float>(sums[1] / m);
  }
  __device__ float dz(float dy, float z) const {
    const float normal = xh(z);
    return gamma * to.inv_std * (du(dy, normal) - (mean_du + normal * mean_du_xh));
  }
};

}  // namespace trainer::cuda
