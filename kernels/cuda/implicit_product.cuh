// A tile of a product of two matrices by one block, in fp32: neither need lie in memory as a matrix, since an
// operand reads its elements four at a time where it will. The threads of a tile are groups, each with its
// share of every chunk of the sum, a thread with 4 x 4 outputs. While a chunk is multiplied, the next one is
// on its way to registers.
//
// An operand is element (i, k): row i (of the left one) or column i (of the right one) of the product, term k
// of its sum. It has
//   kAlongTerms          whether a quad is (i, k) ... (i, k + 3), else (i, k) ... (i + 3, k)
//   place(i), term(k)    what is worth working out once: the first has a member `inside`, false beyond the
//   end quad(place, term)    the four elements as a float4
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

constexpr unsigned kProductThreads = 256;

// kRowCount x kColumnCount outputs by so many groups, and the terms of a chunk.
template <unsigned kRowCount, unsigned kColumnCount, unsigned kGroupCount, unsigned kDepthCount>
struct ProductTile {
  static constexpr unsigned kRows = kRowCount;
  static constexpr unsigned kColumns = kColumnCount;
  static constexpr unsigned kGroups = kGroupCount;
  static constexpr unsigned kDepth = kDepthCount;
  static constexpr unsigned kOutputs = kRows * kColumns;
  static_assert(kOutputs * kGroups == 16 * kProductThreads);
  static constexpr unsigned kStaged = kDepth * (kRows + 4 + kColumns + 4);
  static constexpr unsigned kSums = kOutputs * kGroups;
  static constexpr unsigned kMemory = (kStaged > kSums ? kStaged : kSums) / 4;  // float4 of shared memory
};

inline __host__ __device__ unsigned pieces_of(unsigned extent, unsigned piece) {
  return (extent + piece - 1) / piece;
}

// One operand's elements of a chunk on their way from memory to shared memory: [term, i] there, a pitch of
// kExtent + 4.
template <typename Operand, unsigned kExtent, unsigned kDepth>
class Stage {
 public:
  static constexpr unsigned kPitch = kExtent + 4;  // 16-byte aligned

  __device__ Stage(const Operand& operand, unsigned first) : operand_(operand) {
#pragma unroll
    for (unsigned n = 0; n < kPlaces; ++n) places_[n] = operand.place(first + i_of(n));
  }

  __device__ void load(unsigned k0, unsigned end) {
    typename Operand::Term term{};
#pragma unroll
    for (unsigned n = 0; n < kQuads; ++n) {
      const unsigned k = k0 + k_of(n);
      if (k < end && (n == 0 || !Operand::kAlongTerms)) term = operand_.term(k);
      const typename Operand::Place& place = places_[Operand::kAlongTerms ? n : 0];
      const bool inside = k < end && place.inside && line_of(n) < kLines;
      quads_[n] = inside ? operand_.quad(place, term) : float4{0, 0, 0, 0};
    }
  }

  __device__ void store(float* to) const {
#pragma unroll
    for (unsigned n = 0; n < kQuads; ++n) {
      if (line_of(n) >= kLines) continue;
      float* first = to + k_of(n) * kPitch + i_of(n);
      if (Operand::kAlongTerms) {
        first[0] = quads_[n].x;
        first[kPitch] = quads_[n].y;
        first[2 * kPitch] = quads_[n].z;
        first[3 * kPitch] = quads_[n].w;
      } else {
        *reinterpret_cast<float4*>(first) = quads_[n];
      }
    }
  }

 private:
  // Quads lie in lines along the terms or along i; neighbouring threads read neighbours.
  static constexpr unsigned kLine = (Operand::kAlongTerms ? kDepth : kExtent) / 4;
  static constexpr unsigned kLines = Operand::kAlongTerms ? kExtent : kDepth;
  static constexpr unsigned kLinesAtOnce = kProductThreads / kLine;
  static constexpr unsigned kQuads = (kLines + kLinesAtOnce - 1) / kLinesAtOnce;  // of a thread
  static constexpr unsigned kPlaces = Operand::kAlongTerms ? kQuads : 1;
  static_assert(kProductThreads % kLine == 0);

  __device__ static unsigned line_of(unsigned n) {
    return threadIdx.x / kLine + n * kLinesAtOnce;
  }
  __device__ static unsigned along() {
    return threadIdx.x % kLine * 4;
  }
  __device__ static unsigned i_of(unsigned n) {
    return Operand::kAlongTerms ? line_of(n) : along();
  }
  __device__ static unsigned k_of(unsigned n) {
    return Operand::kAlongTerms ? along() : line_of(n);
  }

  const Operand& operand_;
  typename Operand::Place places_[kPlaces];
  float4 quads_[kQuads];
};

// Adds the terms of one chunk that are this thread's group's to its 4 x 4 outputs.
template <typename Tile>
__device__ void multiply_chunk(const float* left, const float* right, float (&sums)[4][4]) {
  constexpr unsigned kTerms = Tile::kDepth / Tile::kGroups;
  constexpr unsigned kAcross = Tile::kColumns / 4;
  constexpr unsigned kThreads = kProductThreads / Tile::kGroups;
  const unsigned first = threadIdx.x / kThreads * kTerms;
  left += first * (Tile::kRows + 4) + threadIdx.x % kThreads / kAcross * 4;
  right += first * (Tile::kColumns + 4) + threadIdx.x % kAcross * 4;
#pragma unroll
  for (unsigned k = 0; k < kTerms; ++k) {
    const float4 a = *reinterpret_cast<const float4*>(left + k * (Tile::kRows + 4));
    const float4 b = *reinterpret_cast<const float4*>(right + k * (Tile::kColumns + 4));
    const float of_rows[4] = {a.x, a.y, a.z, a.w};
    const float of_columns[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (unsigned y = 0; y < 4; ++y) {
#pragma unroll
      for (unsigned x = 0; x < 4; ++x) sums[y][x] += of_rows[y] * of_columns[x];
    }
  }
}

// The sums over terms begin ... end for the tile whose first output is (row, column), into `memory` (Tile::
// kMemory), from where product_at() takes them. All threads of a block call it.
template <typename Tile, typename Left, typename Right>
__device__ void implicit_product(const Left& left, unsigned row, const Right& right, unsigned column,
                                 unsigned begin, unsigned end, float4* memory) {
  Stage<Left, Tile::kRows, Tile::kDepth> of_left(left, row);
  Stage<Right, Tile::kColumns, Tile::kDepth> of_right(right, column);
  float* left_chunk = reinterpret_cast<float*>(memory);
  float* right_chunk = left_chunk + Tile::kDepth * (Tile::kRows + 4);
  float sums[4][4] = {};
  of_left.load(begin, end);
  of_right.load(begin, end);
  for (unsigned k = begin; k < end; k += Tile::kDepth) {
    __syncthreads();
    of_left.store(left_chunk);
    of_right.store(right_chunk);
    __syncthreads();
    of_left.load(k + Tile::kDepth, end);
    of_right.load(k + Tile::kDepth, end);
    multiply_chunk<Tile>(left_chunk, right_chunk, sums);
  }
  __syncthreads();
  constexpr unsigned kAcross = Tile::kColumns / 4;
  constexpr unsigned kThreads = kProductThreads / Tile::kGroups;
  const unsigned group = threadIdx.x / kThreads;
  const unsigned first_row = threadIdx.x % kThreads / kAcross * 4;
#pragma unroll
  for (unsigned y = 0; y < 4; ++y)
    memory[group * Tile::kOutputs / 4 + (first_row + y) * kAcross + threadIdx.x % kAcross] = {
        sums[y][0], sums[y][1], sums[y][2], sums[y][3]};
  __syncthreads();
}

// Output number i of the tile, row by row: the groups' sums in their order.
template <typename Tile>
__device__ float product_at(const float4* memory, unsigned i) {
  const float* sums = reinterpret_cast<const float*>(memory);
  float total = sums[i];
#pragma unroll
  for (unsigned g = 1; g < Tile::kGroups; ++g) total += sums[g * Tile::kOutputs + i];
  return total;
}

}  // namespace trainer::cuda
