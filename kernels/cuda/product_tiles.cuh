// The tiles of a normalised layer's products. A convolution's map is long and narrow, a dense layer's square;
// the sums of dw are over all positions, so its blocks share the terms.
#pragma once

#include "kernels/cuda/implicit_product.cuh"

namespace trainer::cuda {

using LongTile = ProductTile<256, 16, 1, 16>;
using SquareTile = ProductTile<32, 32, 4, 64>;
using FilterTile = ProductTile<16, 32, 8, 64>;

struct ConvTiles {
  using Map = LongTile;
  using Weights = FilterTile;
};
struct DenseTiles {
  using Map = SquareTile;
  using Weights = SquareTile;
};

// visit(tiles) with those of a dense layer or a convolution.
template <typename Visit>
decltype(auto) visit_tiles(bool dense, const Visit& visit) {
  return dense ? visit(DenseTiles{}) : visit(ConvTiles{});
}

}  // namespace trainer::cuda
