// The workspace layout of a weight that Muon takes as a matrix: [r, c] with r <= c, transposed if it has more rows than
// columns, its rows padded with zeros to a multiple of four. And the products of such matrices, which fit into the L2
// cache, tile by tile.
#pragma once

#include <algorithm>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/matmul/implicit_product.cuh"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

struct Extents {
  unsigned r = 1, c = 1;
  unsigned r_pitch = 4, c_pitch = 4;  // padded lengths of rows of r and c elements
};

inline Extents extents(const WeightMatrix& m) {
  const auto r = static_cast<unsigned>(std::min(m.rows, m.columns));
  const auto c = static_cast<unsigned>(std::max(m.rows, m.columns));
  return {r, c, (r + 3) / 4 * 4, (c + 3) / 4 * 4};
}

struct Matrix : Extents {
  Segment segment;
  Divider by_columns;  // the weight's
  bool transposed = false;
  int iterations = 0;
  float factor = 1;
  float* x[2] = {};  // [r, c_pitch], used alternately
  float* a = nullptr;
  float* b = nullptr;  // [r, r_pitch]
};

inline Matrix matrix_of(const WeightMatrix& m, const Optimizer& optimizer, DeviceAllocator& memory) {
  Matrix matrix{extents(m),           m.segment, Divider(m.columns), m.rows > m.columns,
                optimizer.iterations, m.factor};
  for (float*& x : matrix.x) x = memory.take<float>(std::size_t{matrix.r} * matrix.c_pitch);
  matrix.a = memory.take<float>(std::size_t{matrix.r} * matrix.r_pitch);
  matrix.b = memory.take<float>(std::size_t{matrix.r} * matrix.r_pitch);
  return matrix;
}

constexpr unsigned kTileThreads = 512;
using MatrixTile = ProductTile<kTileThreads, 2, 2, 1, 2>;  // 32 x 32, 8 groups

// A matrix [lines, pitch] whose pitch is a multiple of 4 and whose padding is zero; every element is multiplied by
// `scale` as it is read.
struct MatrixLines {
  const float* data;
  unsigned lines, pitch;
  float scale;

  __device__ float4 quad(std::size_t at) const {
    const float4 q = *reinterpret_cast<const float4*>(data + at);
    return {scale * q.x, scale * q.y, scale * q.z, scale * q.w};
  }
};

// Its lines are rows or columns of a product; K runs along a line.
struct LinesAlongK : MatrixLines {
  static constexpr bool kAlongK = true;
  using Line = std::size_t;
  using KIndex = unsigned;
  __device__ unsigned count() const { return lines; }
  __device__ Line line(unsigned i) const { return std::size_t{i} * pitch; }
  __device__ KIndex k_index(unsigned k) const { return k; }
  __device__ float4 at(Line line, KIndex k) const { return quad(line + k); }
};

// Each line is one K index.
struct LinesAcrossK : MatrixLines {
  static constexpr bool kAlongK = false;
  using Line = unsigned;
  using KIndex = unsigned;
  __device__ unsigned count() const { return pitch; }
  __device__ Line line(unsigned i) const { return i; }
  __device__ KIndex k_index(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Line i, KIndex k, float (&values)[N][4]) const {
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

// Calls store(i, j, sum) for every output of tile number `tile` of rows x columns, each a sum of `depth` products. All
// threads of a block call it.
template <Factors kFactors, typename Right, typename Store>
__device__ void matrix_tile(const LinesAlongK& left, const Right& right, unsigned rows, unsigned columns,
                            unsigned depth, unsigned tile, float* memory, const Store& store) {
  const unsigned across = divided_up(columns, MatrixTile::kColumns);
  const unsigned row = tile / across * MatrixTile::kRows;
  const unsigned column = tile % across * MatrixTile::kColumns;
  implicit_product<kFactors, MatrixTile>(left, row, right, column, 0, depth, memory);
  for (unsigned o = threadIdx.x; o < MatrixTile::kOutputs; o += kTileThreads) {
    const unsigned i = row + o / MatrixTile::kColumns;
    const unsigned j = column + o % MatrixTile::kColumns;
    if (i < rows && j < columns) store(i, j, product_at<MatrixTile>(memory, o));
  }
}

}  // namespace trainer::cuda
