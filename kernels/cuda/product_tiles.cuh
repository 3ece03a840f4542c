// The tiles of a normalised layer's products. A convolution's maps are long and narrow, a dense layer's
// square; the sums of dw are over all positions, so its blocks share the terms.
#pragma once

#include "kernels/cuda/implicit_product.cuh"

namespace trainer::cuda {

constexpr unsigned kProductThreads = 256;

struct SquareTiles {
  using Forward = ProductTile<kProductThreads, 2, 2, 1, 2>;  // 32 x 32, 4 groups
  using Map = Forward;
  using Weights = Forward;
};
struct LongTiles {
  using Forward = ProductTile<kProductThreads, 2, 3, 4, 1>;  // 128 x 24, 2 groups
  using Map = ProductTile<kProductThreads, 2, 2, 8, 1>;      // 256 x 16, of dx
  using Weights = ProductTile<kProductThreads, 1, 4, 1, 1>;  // 16 x 32, 8 groups
};

template <typename Visit>
decltype(auto) visit_tiles(bool square, const Visit& visit) {
  return square ? visit(SquareTiles{}) : visit(LongTiles{});
}

}  // namespace trainer::cuda
