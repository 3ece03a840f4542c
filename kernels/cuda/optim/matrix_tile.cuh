// Products of matrices that lie in the second-level cache, tile by tile: what Muon's iterations are made of.
#pragma once

#include <cstddef>

#include "kernels/cuda/matmul/implicit_product.cuh"

namespace trainer::cuda {

constexpr unsigned kTileThreads = 512;
using MatrixTile = ProductTile<kTileThreads, 2, 2, 1, 2>;  // 32 x 32, 8 groups

// A matrix [lines, pitch], pitch a multiple of 4 and what it has beyond its columns zero; every element is
// multiplied by `scale` as it is read.
struct MatrixLines {
  const float* data;
  unsigned lines, pitch;
  float scale;

  __device__ float4 quad(std::size_t at) const {
    const float4 q = *reinterpret_cast<const float4*>(data + at);
    return {scale * q.x, scale * q.y, scale * q.z, scale * q.w};
  }
};

// Its lines as rows or columns of a product.
struct LinesAlongTerms : MatrixLines {
  static constexpr bool kAlongTerms = true;
  using Place = std::size_t;
  using Terms = unsigned;
  __device__ unsigned count() const { return lines; }
  __device__ Place place(unsigned i) const { return std::size_t{i} * pitch; }
  __device__ Terms terms(unsigned k) const { return k; }
  __device__ float4 at(Place line, Terms k) const { return quad(line + k); }
};

// A line a term.
struct LinesAreTerms : MatrixLines {
  static constexpr bool kAlongTerms = false;
  using Place = unsigned;
  using Terms = unsigned;
  __device__ unsigned count() const { return pitch; }
  __device__ Place place(unsigned i) const { return i; }
  __device__ Terms terms(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Place i, Terms k, float (&values)[N][4]) const {
    static_assert(N == 2);
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (k + j >= lines) return;
      const float2 two = *reinterpret_cast<const float2*>(data + std::size_t{k + j} * pitch + i);
      values[0][j] = scale * two.x;
      values[1][j] = scale * two.y;
    }
  }
};

inline __host__ __device__ unsigned tiles_of(unsigned rows, unsigned columns) {
  return divided_up(rows, MatrixTile::kRows) * divided_up(columns, MatrixTile::kColumns);
}

// store(i, j, sum) for every output of tile number `tile` of rows x columns, each the sum of `terms`
// products. All threads of a block call it.
template <Factors kFactors, typename Right, typename Store>
__device__ void matrix_tile(const LinesAlongTerms& left, const Right& right, unsigned rows, unsigned columns,
                            unsigned terms, unsigned tile, float* memory, const Store& store) {
  const unsigned across = divided_up(columns, MatrixTile::kColumns);
  const unsigned row = tile / across * MatrixTile::kRows;
  const unsigned column = tile % across * MatrixTile::kColumns;
  implicit_product<kFactors, MatrixTile>(left, row, right, column, 0, terms, memory);
  for (unsigned o = threadIdx.x; o < MatrixTile::kOutputs; o += kTileThreads) {
    const unsigned i = row + o / MatrixTile::kColumns;
    const unsigned j = column + o % MatrixTile::kColumns;
    if (i < rows && j < columns) store(i, j, product_at<MatrixTile>(memory, o));
  }
}

}  // namespace trainer::cuda
