// Sums over all positions of a map for each of its channels, such as bias gradients. A block takes every gridDim-th
// group of positions, adjacent threads read adjacent channels, and the last block to arrive adds up all partial sums in
// block order.
#pragma once

#include "kernels/cuda/device_code/last_block.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/runtime/launch.hpp"

namespace trainer::cuda {

constexpr unsigned kSumThreads = 256;
constexpr unsigned kSumBlocks = 128;  // at most; the partial sums are [blocks, channels]

struct ChannelSums {
  unsigned positions = 0;
  unsigned channels = 0;
};

constexpr std::size_t partial_sums_bytes(unsigned channels) {
  return sizeof(float) * kSumBlocks * channels;
}

inline LaunchShape channel_sums_shape(const ChannelSums& s) {
  constexpr unsigned kTermsAThread = 4;
  const std::size_t terms = std::size_t{s.positions} * s.channels;
  return {blocks_for(terms, kSumThreads * kTermsAThread, kSumBlocks), kSumThreads};
}

// A thread's place in its block: channel `lane` of the first `width`, in one of the groups of `width` adjacent threads.
struct ChannelThreads {
  unsigned width, groups, group, lane;
};

__device__ inline ChannelThreads channel_threads(unsigned channels) {
  const unsigned width = min(channels, kSumThreads);
  return {width, kSumThreads / width, threadIdx.x / width, threadIdx.x % width};
}

// Sums term(item, channel) for each channel over items first, first + stride ... below `items`, divided among the
// groups of this block's threads; then one thread calls store(channel, sum). All threads call it.
template <typename Term, typename Store>
__device__ void sum_by_channel(unsigned channels, unsigned first, unsigned stride, unsigned items,
                               const Term& term, const Store& store) {
  __shared__ float sums[kSumThreads];
  const ChannelThreads t = channel_threads(channels);
  for (unsigned start = 0; start < channels; start += t.width) {
    const unsigned c = start + t.lane;
    const bool mine = t.group < t.groups && c < channels;
    float own = 0;
    const auto load = [&](unsigned item) { return term(item, c); };
    const auto use = [&](unsigned, float value) { own += value; };
    const unsigned own_first = mine ? first * t.groups + t.group : items;
    for_strided<8>(own_first, items, stride * t.groups, load, use);  // loads in a row: 6
    sums[threadIdx.x] = own;
    __syncthreads();
    if (mine && t.group == 0) {
      float total = 0;
      for (unsigned g = 0; g < t.groups; ++g) total += sums[g * t.width + t.lane];
      store(c, total);
    }
    __syncthreads();
  }
}

// Writes this block's part of the sums of term(position, channel) into partial[block][channel].
template <typename Term>
__device__ void write_partial_sums(const ChannelSums& s, float* partial, const Term& term) {
  float* own = partial + blockIdx.x * s.channels;
  sum_by_channel(s.channels, blockIdx.x, gridDim.x, s.positions, term,
                 [&](unsigned c, float sum) { own[c] = sum; });
}

// Calls store(channel, sum) with the sums over all blocks' parts. Only the last block calls it.
template <typename Store>
__device__ void finish_sums(const ChannelSums& s, const float* partial, const Store& store) {
  const auto term = [&](unsigned block, unsigned c) { return __ldcg(partial + block * s.channels + c); };
  sum_by_channel(s.channels, 0, 1, gridDim.x, term, store);
}

}  // namespace trainer::cuda
