// Sums over all positions of a map for each of its channels: bias gradients and batch statistics. A block
// takes every gridDim-th group of positions, its threads lie along the channels (neighbours read neighbours),
// and the last block adds up the blocks' partial sums in their order.
#pragma once

#include "kernels/cuda/last_block.cuh"
#include "kernels/cuda/launch.hpp"

namespace trainer::cuda {

constexpr unsigned kSumThreads = 256;
constexpr unsigned kSumBlocks = 128;  // at most; the partial sums are [blocks, sums, channels]

struct ChannelSums {
  std::size_t positions = 0;
  int channels = 0;
};

template <typename T>
constexpr std::size_t partial_sums_bytes(int sums, int channels) {
  return sizeof(T) * kSumBlocks * static_cast<std::size_t>(sums) * static_cast<std::size_t>(channels);
}

inline LaunchShape channel_sums_shape(const ChannelSums& s) {
  constexpr unsigned kTermsAThread = 4;
  const std::size_t terms = s.positions * static_cast<std::size_t>(s.channels);
  return {cover(terms, kSumThreads * kTermsAThread, kSumBlocks).blocks, kSumThreads};
}

// How a block's threads lie along the channels: neighbours on neighbouring channels, groups of them side by
// side.
struct ChannelThreads {
  unsigned width, groups, group, lane;
};

__device__ inline ChannelThreads channel_threads(int channels) {
  const unsigned width =
      static_cast<unsigned>(channels) < kSumThreads ? static_cast<unsigned>(channels) : kSumThreads;
  return {width, kSumThreads / width, threadIdx.x / width, threadIdx.x % width};
}

// For each channel and k < kSums, the sum of term(item, channel, k) over items first, first + stride ...
// below `items`, shared out to the groups of this block's threads; then store(channel, k, sum) by one thread.
// All threads call it.
template <typename T, int kSums, typename Term, typename Store>
__device__ void sum_by_channel(int channels, std::size_t first, std::size_t stride, std::size_t items,
                               const Term& term, const Store& store) {
  __shared__ T sums[kSums][kSumThreads];
  const ChannelThreads t = channel_threads(channels);
  for (unsigned start = 0; start < static_cast<unsigned>(channels); start += t.width) {
    const unsigned c = start + t.lane;
    const bool mine = t.group < t.groups && c < static_cast<unsigned>(channels);
    T own[kSums] = {};
    if (mine) {
#pragma unroll 4
      for (std::size_t item = first * t.groups + t.group; item < items; item += stride * t.groups) {
        for (int k = 0; k < kSums; ++k) own[k] += term(item, c, k);
      }
    }
    for (int k = 0; k < kSums; ++k) sums[k][threadIdx.x] = own[k];
    __syncthreads();
    if (mine && t.group == 0) {
      for (int k = 0; k < kSums; ++k) {
        T total = 0;
        for (unsigned g = 0; g < t.groups; ++g) total += sums[k][g * t.width + t.lane];
        store(c, k, total);
      }
    }
    __syncthreads();
  }
}

// This block's share of the sums of term(position, channel, k) into partial[block][k][channel].
template <typename T, int kSums, typename Term>
__device__ void write_partial_sums(const ChannelSums& s, T* partial, const Term& term) {
  const auto channels = static_cast<std::size_t>(s.channels);
  T* own = partial + std::size_t{blockIdx.x} * kSums * channels;
  sum_by_channel<T, kSums>(
      s.channels, blockIdx.x, gridDim.x, s.positions, term,
      [&](unsigned c, int k, T sum) { own[static_cast<std::size_t>(k) * channels + c] = sum; });
}

// store(channel, k, sum) of the whole sums, from what every block has written. In the last block only.
template <typename T, int kSums, typename Store>
__device__ void finish_sums(const ChannelSums& s, const T* partial, const Store& store) {
  const auto channels = static_cast<std::size_t>(s.channels);
  const auto term = [&](std::size_t block, unsigned c, int k) {
    return __ldcg(partial + (block * kSums + static_cast<std::size_t>(k)) * channels + c);
  };
  sum_by_channel<T, kSums>(s.channels, 0, 1, gridDim.x, term, store);
}

}  // namespace trainer::cuda
