// A tile of a matrix product C = A B by one block, on tensor cores (an implicit GEMM): an operand need not be stored as
// a matrix, since it may load its elements from anywhere. A warp has 16 kRowTiles x 8 kColumnTiles of the tile's
// outputs and loads its operands' elements from memory in the layout that its tensor cores need: nothing is staged, and
// warps wait for one another only at the end. Warps with the same outputs belong to different groups, which take the
// chunks of K in turn; the groups' sums are added up in group order.
//
// A chunk is 16 K indices. Their order within an instruction does not matter as long as both operands use the same, so
// lane 4 g + t takes four consecutive ones, 4 t to 4 t + 3, with one load. An operand has elements (line, k), where a
// line is a row of A or a column of B. It provides
//   kAlongK                whether (i, k) ... (i, k + 3) are consecutive in memory, else (i, k) ... (i + 3, k) are
//   count()                the number of lines; a tile that extends beyond them reads the last ones again
//   line(i), k_index(k)    values worth computing once for each; k is a multiple of 4
//   if kAlongK             at(line, k_index): the four elements of a line as a float4
//   else                   at<N>(line, k_index, values): the elements below K of N consecutive lines
//
// At the end: which kernel computes a product in the engine's precision, the tile sizes of a layer's products, and the max pool
// of a tile. A convolution's maps are long and narrow, a dense layer's square; dw sums over all positions, so its blocks split the
// K index.
#pragma once

#include <type_traits>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/tensor_cores.cuh"

namespace trainer::cuda {

constexpr unsigned kChunk = 16;  // K indices

template <unsigned kThreadCount, unsigned kRowTileCount, unsigned kColumnTileCount, unsigned kWarpsDown,
          unsigned kWarpsAcross>
struct ProductTile {
  static constexpr unsigned kThreads = kThreadCount;
  static constexpr unsigned kRowTiles = kRowTileCount;        // a warp's, 16 rows each
  static constexpr unsigned kColumnTiles = kColumnTileCount;  // of 8 columns
  static constexpr unsigned kDown = kWarpsDown;
  static constexpr unsigned kAcross = kWarpsAcross;
  static constexpr unsigned kRows = 16 * kRowTiles * kDown;
  static constexpr unsigned kColumns = 8 * kColumnTiles * kAcross;
  static constexpr unsigned kOutputs = kRows * kColumns;
  static constexpr unsigned kGroups = kThreads / 32 / (kDown * kAcross);
  static_assert(kGroups * kDown * kAcross * 32 == kThreads);
  static constexpr unsigned kMemory = kOutputs * kGroups;  // floats of shared memory
};

inline __host__ __device__ unsigned divided_up(unsigned extent, unsigned piece) {
  return (extent + piece - 1) / piece;
}

// A lane's fragment of one operand: kOwn of 8 kOwn lines, at four K indices of a chunk.
template <typename Operand, unsigned kOwn>
class Fragment {
 public:
  __device__ Fragment(const Operand& operand, unsigned first) : operand_(operand) {
#pragma unroll
    for (unsigned n = 0; n < kLines; ++n)
      lines_[n] = operand.line(min(first + index(n, lane() / 4), operand.count() - kSideBySide));
  }

  // Which of the 8 kOwn lines is line number n of lanes 4 g to 4 g + 3.
  __device__ static unsigned index(unsigned n, unsigned g) {
    return Operand::kAlongK ? 8 * n + g : kOwn * g + n;
  }

  // Loads the elements of the chunk that begins at k0; from `end` on they are zero.
  __device__ void load(unsigned k0, unsigned end, float (&values)[kOwn][4]) const {
    const unsigned k = k0 + lane() % 4 * 4;
#pragma unroll
    for (unsigned n = 0; n < kOwn; ++n) values[n][0] = values[n][1] = values[n][2] = values[n][3] = 0;
    if (k >= end) return;
    const typename Operand::KIndex index = operand_.k_index(k);
    if constexpr (Operand::kAlongK) {
#pragma unroll
      for (unsigned n = 0; n < kOwn; ++n) {
        const float4 four = operand_.at(lines_[n], index);
        values[n][0] = four.x;
        values[n][1] = four.y;
        values[n][2] = four.z;
        values[n][3] = four.w;
      }
    } else {
      operand_.at(lines_[0], index, values);
    }
  }

 private:
  static constexpr unsigned kLines = Operand::kAlongK ? kOwn : 1;
  static constexpr unsigned kSideBySide = Operand::kAlongK ? 1 : kOwn;
  __device__ static unsigned lane() {
    return threadIdx.x % 32;
  }

  const Operand& operand_;
  typename Operand::Line lines_[kLines];
};

// Adds the products of a chunk to a warp's outputs: first for two of each lane's four K indices, then for the others.
template <Factors kFactors, typename Tile>
__device__ void multiply_chunk(const float (&left)[2 * Tile::kRowTiles][4],
                               const float (&right)[Tile::kColumnTiles][4],
                               float (&sums)[Tile::kRowTiles][Tile::kColumnTiles][4]) {
#pragma unroll
  for (unsigned r = 0; r < Tile::kRowTiles; ++r) {
    const float(&up)[4] = left[2 * r];
    const float(&down)[4] = left[2 * r + 1];
    const Parts<kFactors, 4> a[2] = {Parts<kFactors, 4>({up[0], down[0], up[1], down[1]}),
                                     Parts<kFactors, 4>({up[2], down[2], up[3], down[3]})};
#pragma unroll
    for (unsigned c = 0; c < Tile::kColumnTiles; ++c) {
      const Parts<kFactors, 2> b[2] = {Parts<kFactors, 2>({right[c][0], right[c][1]}),
                                       Parts<kFactors, 2>({right[c][2], right[c][3]})};
      multiply<kFactors>(sums[r][c], a, b);
    }
  }
}

// Sums over K indices begin ... end (begin is a multiple of 4) for the tile whose first output is (row, column), and
// writes to `memory` (Tile::kMemory), which product_at() reads. All threads of a block call it.
template <Factors kFactors, typename Tile, typename Left, typename Right>
__device__ void implicit_product(const Left& left, unsigned row, const Right& right, unsigned column,
                                 unsigned begin, unsigned end, float* memory) {
  using LeftFragment = Fragment<Left, 2 * Tile::kRowTiles>;
  using RightFragment = Fragment<Right, Tile::kColumnTiles>;
  const unsigned warp = threadIdx.x / 32;
  const unsigned group = warp / (Tile::kDown * Tile::kAcross);
  const unsigned own_row = warp / Tile::kAcross % Tile::kDown * 16 * Tile::kRowTiles;
  const unsigned own_column = warp % Tile::kAcross * 8 * Tile::kColumnTiles;
  const LeftFragment of_left(left, row + own_row);
  const RightFragment of_right(right, column + own_column);
  float a[2 * Tile::kRowTiles][4];
  float b[Tile::kColumnTiles][4];
  float sums[Tile::kRowTiles][Tile::kColumnTiles][4] = {};
  for (unsigned k = begin + group * kChunk; k < end; k += Tile::kGroups * kChunk) {  // loads in a row: 4
    of_left.load(k, end, a);
    of_right.load(k, end, b);
    multiply_chunk<kFactors, Tile>(a, b, sums);
  }
  __syncthreads();
  const unsigned g = threadIdx.x % 32 / 4;
  const unsigned t = threadIdx.x % 4;
  float* to = memory + group * Tile::kOutputs;
#pragma unroll
  for (unsigned r = 0; r < Tile::kRowTiles; ++r) {
#pragma unroll
    for (unsigned c = 0; c < Tile::kColumnTiles; ++c) {
#pragma unroll
      for (unsigned i = 0; i < 4; ++i)
        to[(own_row + LeftFragment::index(2 * r + i / 2, g)) * Tile::kColumns + own_column +
           RightFragment::index(c, 2 * t + i % 2)] = sums[r][c][i];
    }
  }
  __syncthreads();
}

// Output number i of the tile, row by row: the groups' sums added up in group order.
template <typename Tile>
__device__ float product_at(const float* memory, unsigned i) {
  float total = memory[i];
#pragma unroll
  for (unsigned g = 1; g < Tile::kGroups; ++g) total += memory[g * Tile::kOutputs + i];
  return total;
}

template <Factors kFactors>
using FactorsOf = std::integral_constant<Factors, kFactors>;

// Calls visit(FactorsOf<...>{}, ElementType<...>{}).
template <typename Visit>
void visit_product(const CudaContext& context, const Visit& visit) {
  if (context.precision == Precision::fp32) return visit(FactorsOf<Factors::fp32>{}, ElementType<float>{});
  visit_element(context.element, [&](auto element) { visit(FactorsOf<Factors::tf32>{}, element); });
}

constexpr unsigned kProductThreads = 256;

struct SquareTiles {
  using Forward = ProductTile<kProductThreads, 2, 2, 1, 2>;  // 32 x 32, 4 groups
  using SmallForward = Forward;
  using Map = Forward;
  using Weights = Forward;
};
struct LongTiles {
  using Forward = ProductTile<kProductThreads, 2, 3, 4, 1>;       // 128 x 24, 2 groups
  using SmallForward = ProductTile<kProductThreads, 1, 4, 8, 1>;  // 128 x 32, as many filters as there are
  using Map = ProductTile<kProductThreads, 2, 2, 8, 1>;           // 256 x 16, of dx
  using Weights = ProductTile<kProductThreads, 1, 4, 1, 1>;       // 16 x 32, 8 groups
};

template <typename Visit>
decltype(auto) visit_tiles(bool square, const Visit& visit) {
  return square ? visit(SquareTiles{}) : visit(LongTiles{});
}

// The largest of a window's sums, which are consecutive rows of a tile, and its place in the window.
template <typename Tile>
__device__ float pooled(const float* memory, unsigned output, unsigned lane, unsigned area,
                        unsigned& argmax) {
  const unsigned first = output * area * Tile::kColumns + lane;
  float best = product_at<Tile>(memory, first);
  argmax = 0;
  for (unsigned i = 1; i < area; ++i) {
    const float value = product_at<Tile>(memory, first + i * Tile::kColumns);
    const bool larger = value > best || (isnan(value) && !isnan(best));
    best = larger ? value : best;
    argmax = larger ? i : argmax;
  }
  return best;
}

}  // namespace trainer::cuda
