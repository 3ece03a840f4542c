// The tiles of a normalised layer's products. A convolution's maps are long and narrow, a dense layer's
// square; the sums of dw are over all positions, so its blocks share the terms.
#pragma once

#include "kernels/cuda/implicit_product.cuh"

namespace trainer::cuda {

struct SquareTiles {
  using Map = ProductTile<32, 32, 4, 64>;
  using Weights = Map;
};
struct LongTiles {
  using Map = ProductTile<256, 16, 1, 16>;
  using Weights = ProductTile<16, 32, 8, 64>;
};

template <typename Visit>
decltype(auto) visit_tiles(bool square, const Visit& visit) {
  return square ? visit(SquareTiles{}) : visit(LongTiles{});
}

}  // namespace trainer::cuda
