// The gradients of a convolution (with its max pool) or dense layer from the gradient of its output z, in one kernel
// whose blocks have two roles. The first blocks compute dw, and db as one more column, each a tile over a part of
// the positions (split K); the last block of a tile to arrive adds up the parts. The others compute tiles of dx: one pixel
// of several images, so all have the same taps on the map. The pool's gradient is never expanded (patches.cuh).
#include "kernels/cuda/device_code/last_block.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/implicit_product.cuh"
#include "kernels/cuda/matmul/patches.cuh"
#include "kernels/cuda/matmul/product_plan.hpp"

namespace trainer::cuda {

namespace {

template <typename T>
struct BackwardArgs : MapArgs<T> {  // w [out, taps, c]
  using MapArgs<T>::MapArgs;
  UpstreamGradient<T> d;
  float* partial = nullptr;  // [tiles, parts, outputs of a tile]
  unsigned weight_tiles = 1;
  unsigned weight_parts = 1;
};

template <Factors kFactors, typename T, typename Tile>
__device__ void make_dw(const PatchShape& s, const BackwardArgs<T>& a, float* memory, unsigned* tickets) {
  const unsigned tile = blockIdx.x / a.weight_parts;
  const unsigned part = blockIdx.x % a.weight_parts;
  const unsigned width = s.depth();
  const unsigned across = divided_up(width + s.ones, Tile::kColumns);
  const unsigned row = tile / across * Tile::kRows;
  const unsigned column = tile % across * Tile::kColumns;
  const unsigned terms = divided_up(divided_up(s.positions(), a.weight_parts), kChunk) * kChunk;
  const unsigned begin = min(part * terms, s.positions());
  implicit_product<kFactors, Tile>(DwGradient<T>{s, a.d}, row, DwPatches<T>{s, a.x}, column, begin,
                                   min(begin + terms, s.positions()), memory);
  float* all = a.partial + std::size_t{tile} * a.weight_parts * Tile::kOutputs;
  if (a.weight_parts > 1) {
    for (unsigned i = threadIdx.x; i < Tile::kOutputs; i += kProductThreads)
      all[part * Tile::kOutputs + i] = product_at<Tile>(memory, i);
    if (!is_last_block(tickets + tile, a.weight_parts)) return;
  }
  for (unsigned i = threadIdx.x; i < Tile::kOutputs; i += kProductThreads) {
    float sum = 0;
    if (a.weight_parts == 1) sum = product_at<Tile>(memory, i);
#pragma unroll 8
    for (unsigned b = a.weight_parts == 1 ? 1 : 0; b < a.weight_parts; ++b)  // loads in a row: 8
      sum += __ldcg(all + b * Tile::kOutputs + i);
    const unsigned o = row + i / Tile::kColumns;
    const unsigned k = column + i % Tile::kColumns;
    if (o < s.out && k < width) a.dw[std::size_t{o} * width + k] = sum;
    if (o < s.out && k == width && a.db != nullptr) a.db[o] = sum;
  }
}

template <Factors kFactors, typename T, typename Tile>
__device__ void make_dx(const PatchShape& s, const BackwardArgs<T>& a, unsigned tile, float* memory) {
  const unsigned across = divided_up(s.c, Tile::kColumns);
  const unsigned down = divided_up(s.batch, Tile::kRows);
  const unsigned column = tile % across * Tile::kColumns;
  const unsigned row = tile / across % down * Tile::kRows;
  const unsigned pixel = tile / across / down;
  const PixelTaps taps = taps_over(s, pixel);
  implicit_product<kFactors, Tile>(DxGradient<T>{s, taps, a.d}, row, DxFilters{s, taps, a.w}, column, 0,
                                   taps.depth, memory);
  for (unsigned i = threadIdx.x; i < Tile::kOutputs; i += kProductThreads) {
    const unsigned image = row + i / Tile::kColumns;
    const unsigned c = column + i % Tile::kColumns;
    if (image >= s.batch || c >= s.c) continue;
    const std::size_t at = (std::size_t{image} * s.h * s.w + pixel) * s.c + c;
    a.dx[at] = static_cast<T>(product_at<Tile>(memory, i));
  }
}

template <Factors kFactors, typename T, typename Tiles>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks)
    product_backward(PatchShape s, BackwardArgs<T> a, unsigned* tickets) {
  using Map = typename Tiles::Map;
  using Weights = typename Tiles::Weights;
  __shared__ float memory[Map::kMemory > Weights::kMemory ? Map::kMemory : Weights::kMemory];
  const unsigned first = a.weight_tiles * a.weight_parts;
  if (blockIdx.x < first) {
    make_dw<kFactors, T, Weights>(s, a, memory, tickets);
  } else {
    make_dx<kFactors, T, Map>(s, a, blockIdx.x - first, memory);
  }
}

}  // namespace

void launch_product_backward(const CudaContext& context, const ProductPlan& plan, const OpArgs& args,
                             const ProductBackward& given) {
  visit_product(context, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
    BackwardArgs<T> a(args);
    a.d = {static_cast<const T*>(given.dz), given.argmax};
    a.db = given.db;
    a.partial = given.partial;
    a.weight_tiles = plan.weight_tiles;
    a.weight_parts = plan.weight_parts;
    const unsigned blocks = plan.weight_tiles * plan.weight_parts + (a.dx == nullptr ? 0 : plan.map_tiles);
    visit_tiles(plan.square, [&](auto tiles) {
      launch(context.stream, {blocks, kProductThreads}, "product_backward",
             product_backward<kFactors, T, decltype(tiles)>, plan.shape, a, context.ticket);
    });
  });
}

}  // namespace trainer::cuda
