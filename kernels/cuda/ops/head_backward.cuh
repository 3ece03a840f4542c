// Backward of the last layer in one kernel, for head.cu. The first blocks compute dw and db, each for a strip of inputs
// and a group of images; the last block of a strip to arrive adds up its groups in order. The others compute dx.
#pragma once

#include "kernels/cuda/device_code/last_block.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kThreads = 256;
constexpr unsigned kRows = kThreads / kWarp;  // images of a block in forward; parts of the images in dw
constexpr unsigned kStrip = kWarp;            // inputs of a block in dw
constexpr unsigned kDwRows = 8 * kRows;       // images of a block at a time in dw
constexpr unsigned kMostGroups = 32;          // groups of images in dw
constexpr unsigned kTile = 16;                // classes whose dw a thread sums at a time

struct HeadShape {
  unsigned batch = 1;
  unsigned in = 1;
  unsigned classes = 2;
  bool masks_dx = false;
  float logit_scale = 1;
  float label_smoothing = 0;  // in training
  float loss_scale = 1;
  Divider by_in;
};

template <typename T>
struct HeadBackward : MapArgs<T> {
  using MapArgs<T>::MapArgs;
  const float* dz = nullptr;
  float* partial = nullptr;  // [strips, groups, classes, kStrip]
  unsigned groups = 1;       // groups of images
};

// Adds the products of dz and x over kDwRows images from `begin` (not beyond the batch) to the sums of a tile of
// classes from `first`, for input i. The input after the last one stands for the bias and is 1 in every image. All
// threads call it.
template <typename T>
static __device__ void add_rows(const HeadShape& s, const HeadBackward<T>& a, unsigned i, unsigned begin,
                                unsigned first, float (&own)[kTile]) {
  __shared__ float dz[kDwRows][kTile];
  const unsigned rows = min(kDwRows, s.batch - begin);
  __syncthreads();
  for (unsigned at = threadIdx.x; at < kDwRows * kTile; at += kThreads) {
    const unsigned row = at / kTile;
    const unsigned j = first + at % kTile;
    const bool there = row < rows && j < s.classes;
    dz[row][at % kTile] = there ? a.dz[std::size_t{begin + row} * s.classes + j] : 0.0F;
  }
  __syncthreads();
  const unsigned from = i <= s.in ? threadIdx.x / kStrip : rows;
  const auto load = [&](unsigned row) {
    return i < s.in ? static_cast<float>(a.x[std::size_t{begin + row} * s.in + i]) : 1.0F;
  };
  const auto use = [&](unsigned row, float x) {
#pragma unroll
    for (unsigned j = 0; j < kTile; ++j) own[j] += dz[row][j] * x;
  };
  for_strided<kDwRows / kRows>(from, rows, kRows, load, use);  // loads in a row: 8
}

// Adds up the sums of all groups of images for a strip of inputs. Only the last block of the strip calls it.
template <typename T>
static __device__ void finish_strip(const HeadShape& s, const HeadBackward<T>& a, unsigned strip,
                                    const float* partial) {
  for (unsigned at = threadIdx.x; at < s.classes * kStrip; at += kThreads) {
    const unsigned i = strip * kStrip + at % kStrip;
    const unsigned j = at / kStrip;
    float total = 0;
    const auto load = [&](unsigned group) {
      return __ldcg(partial + std::size_t{group} * s.classes * kStrip + at);
    };
    const auto use = [&](unsigned, float sum) { total += sum; };
    for_strided<8>(0U, a.groups, 1U, load, use);  // loads in a row: 8
    if (i < s.in) a.dw[std::size_t{j} * s.in + i] = total;
    if (i == s.in && a.db != nullptr) a.db[j] = total;
  }
}

// Computes dw and db of a strip of inputs from a group of the images.
template <typename T>
static __device__ void weight_gradients(const HeadShape& s, const HeadBackward<T>& a, unsigned strip,
                                        unsigned group, unsigned* ticket) {
  __shared__ float sums[kRows][kTile][kStrip];
  const unsigned lane = threadIdx.x % kStrip;
  float* strip_sums = a.partial + std::size_t{strip} * a.groups * s.classes * kStrip;
  float* partial = strip_sums + std::size_t{group} * s.classes * kStrip;
  for (unsigned first = 0; first < s.classes; first += kTile) {
    float own[kTile] = {};
    for (unsigned begin = group * kDwRows; begin < s.batch; begin += a.groups * kDwRows)
      add_rows(s, a, strip * kStrip + lane, begin, first, own);
#pragma unroll
    for (unsigned j = 0; j < kTile; ++j) sums[threadIdx.x / kStrip][j][lane] = own[j];
    __syncthreads();
    const unsigned width = min(kTile, s.classes - first);
    for (unsigned at = threadIdx.x; at < width * kStrip; at += kThreads) {
      float total = 0;
      for (unsigned r = 0; r < kRows; ++r) total += sums[r][at / kStrip][lane];
      partial[first * kStrip + at] = total;
    }
  }
  bool last = true;
  if (a.groups > 1)
    last = is_last_block(ticket, a.groups);  // with one group there may be no ticket for the strip
  else
    __syncthreads();
  if (last) finish_strip(s, a, strip, strip_sums);
}

template <typename T>
__global__ void head_backward(HeadShape s, HeadBackward<T> a, unsigned strips, unsigned* tickets) {
  const unsigned first = strips * a.groups;
  if (blockIdx.x < first) {
    const unsigned strip = blockIdx.x / a.groups;
    weight_gradients(s, a, strip, blockIdx.x % a.groups, tickets + strip);
    return;
  }
  const unsigned stride = (gridDim.x - first) * blockDim.x;
  for (unsigned at = (blockIdx.x - first) * blockDim.x + threadIdx.x; at < s.batch * s.in; at += stride) {
    const unsigned row = s.by_in.quotient(at);
    const float* dz = a.dz + std::size_t{row} * s.classes;
    const float* w = a.w + (at - row * s.in);
    float sum = 0;
    const auto load = [&](unsigned j) { return float2{dz[j], w[std::size_t{j} * s.in]}; };
    const auto use = [&](unsigned, float2 factors) { sum += factors.x * factors.y; };
    for_strided<5>(0U, s.classes, 1U, load, use);  // loads in a row: 10
    a.dx[at] = static_cast<T>(s.masks_dx && !(static_cast<float>(a.x[at]) > 0) ? 0.0F : sum);
  }
}

}  // namespace

}  // namespace trainer::cuda
