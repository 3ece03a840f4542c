// The three kernels of an exchange (device_exchange.cu launches them, with NCCL's messages in between). A block takes a column at a time.
#pragma once

#include "kernels/cuda/ranks/column_code.cuh"
#include "kernels/math/step_state.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kAddBlocks =
    4;                           // a multiprocessor's, of add_stripe: for 100, ptxas spills if it may choose
constexpr unsigned kLeaves = 8;  // a branch of the tree of ranks has as many
constexpr unsigned kMostLevels = 5;  // of branches
constexpr int kMostDeviceRanks = kLeaves << kMostLevels;
constexpr std::uint64_t kNoStop = ~std::uint64_t{0};

// A column, and where its code is in the messages to the owners and to all, in words.
struct PlacedColumn {
  std::uint64_t begin, scattered, gathered;
  std::uint32_t rows;
  bool whole;
};

// What the device and the host tell each other, in the host's memory.
struct ExchangeNotes {
  std::uint32_t asked = 0;            // the host has been asked to stop
  std::uint64_t stop_step = kNoStop;  // the first step in which some rank had been; equal on all ranks
  std::uint64_t steps = 0, bytes = 0, nanoseconds = 0;
  std::uint64_t started = 0;  // the step in progress
};

struct ExchangeArgs {
  const PlacedColumn* columns = nullptr;
  unsigned count = 0;                          // how many there are in all columns,
  unsigned first_own = 0, end_own = 0;         // those of this rank's stripe,
  std::uint64_t own_words = 0, own_begin = 0;  // and their codes' length and place among the scattered ones
  const std::uint64_t* headers = nullptr;  // [ranks] where each stripe's header is among the gathered codes
  unsigned rank = 0, ranks = 1;
  std::uint64_t bytes = 0;  // that a step sends to others
  float* dw = nullptr;
  float *own_residual = nullptr, *sum_residual = nullptr;
  std::uint32_t *outgoing = nullptr, *incoming = nullptr, *all = nullptr;
  float* sums = nullptr;  // [blocks, 2, words of the longest column]
  std::uint64_t words = 0;
  StepState* state = nullptr;
  volatile ExchangeNotes* notes = nullptr;

  __device__ float* sums_of_block() const { return sums + 2 * words * blockIdx.x; }
};

__device__ std::uint64_t nanoseconds() {
  std::uint64_t now = 0;
#if defined(__CUDA_ARCH__)
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
#endif
  return now;
}

// The sum of kCount leaves as add_tree() has it: that of the first half plus that of the second.
template <unsigned kFirst, unsigned kCount>
__device__ float fixed_tree(const float (&leaf)[kLeaves]) {
  if constexpr (kCount == 1)
    return leaf[kFirst];
  else
    return fixed_tree<kFirst, kCount / 2>(leaf) + fixed_tree<kFirst + kCount / 2, kCount - kCount / 2>(leaf);
}

// The same of the first `count` leaves.
template <unsigned kCount = kLeaves>
__device__ float small_tree(unsigned count, const float (&leaf)[kLeaves]) {
  if constexpr (kCount > 1) {
    if (count < kCount) return small_tree<kCount - 1>(count, leaf);
  }
  return fixed_tree<0, kCount>(leaf);
}

// The same of value(0) .. value(count - 1): the tree is cut where its branches have at most kLeaves, and their sums are added like
// the digits of a binary counter.
template <typename Value>
__device__ float tree_sum(unsigned count, const Value& value) {
  unsigned levels = 0;
  while (((count - 1) >> levels) + 1 > kLeaves) ++levels;
  float pending[kMostLevels + 1] = {};
  float sum = 0;
  for (unsigned branch = 0; branch < 1U << levels; ++branch) {
    unsigned first = 0;
    unsigned size = count;
    for (unsigned level = levels; level-- > 0;) {
      const unsigned half = size / 2;
      const bool second = (branch >> level & 1U) != 0;
      first += second ? half : 0;
      size = second ? size - half : half;
    }
    float leaf[kLeaves];
#pragma unroll
    for (unsigned i = 0; i < kLeaves; ++i) leaf[i] = value(first + (i < size ? i : 0));  // loads in a row: 5
    sum = small_tree(size, leaf);
    bool carries = true;
#pragma unroll
    for (unsigned level = 0; level <= kMostLevels; ++level) {
      const bool adds = carries && (branch >> level & 1U) != 0;
      if (adds) sum = pending[level] + sum;
      if (carries && !adds) pending[level] = sum;
      carries = adds;
    }
  }
  return sum;
}

// Calls body with the bits of the column's code as its template argument.
template <int kBits, typename Body>
__device__ void with_bits(const PlacedColumn& column, const Body& body) {
  if (column.whole)
    body.template operator()<32>();
  else
    body.template operator()<kBits>();
}

template <int kBits>
__global__ void __launch_bounds__(kCodeThreads) encode_gradients(const __grid_constant__ ExchangeArgs a) {
  if (grid_index() == 0) a.notes->started = nanoseconds();
  for (unsigned c = blockIdx.x; c < a.count; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const float* dw = a.dw + column.begin;
    with_bits<kBits>(column, [&]<int kOwn>() {
      encode<kOwn, 8>(
          column.rows, [=](const RowPlace& at) { return dw[at.row]; }, a.own_residual + column.begin,
          a.outgoing + column.scattered, a.sums_of_block());
    });
  }
}

// Adds up this rank's stripe and codes the sum for all.
template <int kBits>
__global__ void __launch_bounds__(kCodeThreads, kAddBlocks)
    add_stripe(const __grid_constant__ ExchangeArgs a) {
  if (grid_index() == 0) {
    a.all[a.headers[a.rank]] = __float_as_uint(a.state->batch_loss);
    a.all[a.headers[a.rank] + 1] = a.notes->asked;
  }
  for (unsigned c = a.first_own + blockIdx.x; c < a.end_own; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const std::uint32_t* code = a.incoming + (column.scattered - a.own_begin);
    with_bits<kBits>(column, [&]<int kOwn>() {
      const auto sum = [&](const RowPlace& at) {
        return tree_sum(a.ranks, [&](unsigned rank) { return decoded<kOwn>(code + rank * a.own_words, at); });
      };
      encode<kOwn, 1>(column.rows, sum, a.sum_residual + column.begin, a.all + column.gathered,
                      a.sums_of_block());
    });
  }
}

template <int kBits>
__global__ void __launch_bounds__(kCodeThreads) decode_sums(const __grid_constant__ ExchangeArgs a) {
  for (unsigned c = blockIdx.x; c < a.count; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const std::uint32_t* code = a.all + column.gathered;
    float* dw = a.dw + column.begin;
    with_bits<kBits>(column, [&]<int kOwn>() {
      for_rows<kOwn, 8>(
          column.rows, [=](const RowPlace& at) { return decoded<kOwn>(code, at); },
          [=](const RowPlace& at, float sum) { dw[at.row] = sum; });
    });
  }
  if (grid_index() != 0) return;
  a.state->batch_loss =
      tree_sum(a.ranks, [&](unsigned rank) { return __uint_as_float(a.all[a.headers[rank]]); });
  bool stop = false;
  for (unsigned rank = 0; rank < a.ranks; ++rank) stop = stop || a.all[a.headers[rank] + 1] != 0;
  if (stop && a.notes->stop_step == kNoStop) a.notes->stop_step = a.state->step;
  a.notes->nanoseconds = a.notes->nanoseconds + (nanoseconds() - a.notes->started);
  a.notes->bytes = a.notes->bytes + a.bytes;
  a.notes->steps = a.notes->steps + 1;
}

}  // namespace

}  // namespace trainer::cuda
