// A tile of a product of matrices that lie in the second-level cache, by one block in fp32. Its threads are
// groups: each takes its share of every chunk of the sum, a thread 4 x 4 outputs, and the groups' sums are
// added up in their order.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

constexpr unsigned kTileThreads = 512;
constexpr unsigned kTile = 32;  // outputs along an edge
constexpr unsigned kTileGroups = 8;
constexpr unsigned kTileChunk = 64;         // terms of the sum that are in shared memory at a time
constexpr unsigned kTilePitch = kTile + 4;  // floats from term to term there: still 16-byte aligned
constexpr unsigned kTileOutputs = kTile * kTile;
constexpr unsigned kTileMemory = kTileGroups * kTileOutputs / 4;  // float4 of shared memory

// Element (k, i): term k of the sums of output row or column i.
struct Operand {
  const float* data;
  unsigned k_stride, stride;
};

// product[i, j] = the sum over k < depth of scale_left left(k, i) scale_right right(k, j)
struct TileProduct {
  Operand left, right;
  unsigned rows, columns, depth;
  float scale_left, scale_right;
};

inline __host__ __device__ unsigned tiles_along(unsigned extent) {
  return (extent + kTile - 1) / kTile;
}

// Elements [k, i] from (k0, first) on, zero beyond the ends. Neighbouring threads read neighbours.
__device__ inline void stage_chunk(const Operand& o, unsigned depth, unsigned extent, unsigned k0,
                                   unsigned first, float scale, float* to) {
#pragma unroll 2
  for (unsigned e = threadIdx.x; e < kTileChunk * kTile; e += kTileThreads) {
    const unsigned k = o.stride == 1 ? e / kTile : e % kTileChunk;
    const unsigned i = o.stride == 1 ? e % kTile : e / kTileChunk;
    const bool inside = k0 + k < depth && first + i < extent;
    to[k * kTilePitch + i] = inside ? scale * o.data[(k0 + k) * o.k_stride + (first + i) * o.stride] : 0.0F;
  }
}

// store(i, j, sum) for every output of tile number `tile`. All threads of a block call it.
template <typename Store>
__device__ void tile_product(const TileProduct& p, unsigned tile, float4* memory, const Store& store) {
  constexpr unsigned kEdge = 4;
  constexpr unsigned kTerms = kTileChunk / kTileGroups;
  constexpr unsigned kAcross = kTile / kEdge;
  float* left = reinterpret_cast<float*>(memory);
  float* right = left + kTileChunk * kTilePitch;
  const unsigned row = tile / tiles_along(p.columns) * kTile;
  const unsigned column = tile % tiles_along(p.columns) * kTile;
  const unsigned group = threadIdx.x / (kAcross * kAcross);
  const unsigned i = threadIdx.x / kAcross % kAcross * kEdge;
  const unsigned j = threadIdx.x % kAcross * kEdge;
  float sums[kEdge][kEdge] = {};
  for (unsigned k0 = 0; k0 < p.depth; k0 += kTileChunk) {
    __syncthreads();
    stage_chunk(p.left, p.depth, p.rows, k0, row, p.scale_left, left);
    stage_chunk(p.right, p.depth, p.columns, k0, column, p.scale_right, right);
    __syncthreads();
#pragma unroll 4
    for (unsigned k = group * kTerms; k < (group + 1) * kTerms; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(left + k * kTilePitch + i);
      const float4 b = *reinterpret_cast<const float4*>(right + k * kTilePitch + j);
      const float of_rows[kEdge] = {a.x, a.y, a.z, a.w};
      const float of_columns[kEdge] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (unsigned y = 0; y < kEdge; ++y) {
#pragma unroll
        for (unsigned x = 0; x < kEdge; ++x) sums[y][x] += of_rows[y] * of_columns[x];
      }
    }
  }
  __syncthreads();
  float* of_groups = left;  // [groups, kTile, kTile]
#pragma unroll
  for (unsigned y = 0; y < kEdge; ++y)
    memory[(group * kTileOutputs + (i + y) * kTile + j) / 4] = {sums[y][0], sums[y][1], sums[y][2],
                                                                sums[y][3]};
  __syncthreads();
  for (unsigned o = threadIdx.x; o < kTileOutputs; o += kTileThreads) {
    if (row + o / kTile >= p.rows || column + o % kTile >= p.columns) continue;
    float total = 0;
#pragma unroll
    for (unsigned g = 0; g < kTileGroups; ++g) total += of_groups[g * kTileOutputs + o];
    store(row + o / kTile, column + o % kTile, total);
  }
}

}  // namespace trainer::cuda
