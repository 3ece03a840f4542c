// Which kernel computes a product in the engine's precision, the tile sizes of a layer's products, and the max pool of
// a tile. A convolution's maps are long and narrow, a dense layer's square; dw sums over all positions, so its blocks
// split the K index.
#pragma once

#include <type_traits>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/implicit_product.cuh"

namespace trainer::cuda {

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
