// How the implicit GEMMs (patches.cuh) of a convolution or dense layer are divided into blocks, and the launch of their
// gradients. Both serve layers with a batch normalisation (product_norm.cu) and small layers (small_product.cu).
#pragma once

#include "kernels/cuda/context.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

// A convolution with stride 1 and no border. A dense layer is a convolution on maps of one pixel.
struct PatchShape {
  unsigned batch = 1;
  unsigned h = 1, w = 1, c = 1;  // of x
  unsigned kernel = 1;
  unsigned rows = 1, columns = 1;  // of y, after the pool
  unsigned pool_bit = 0;           // 1: windows of 2 x 2, side by side; 0: no pool
  unsigned out = 1;
  unsigned taps = 1;     // the filter's: kernel x kernel
  unsigned outputs = 1;  // of an image and channel: rows x columns
  unsigned ones = 0;     // columns of dw after the taps': their patches are ones, so the first is db
  Divider by_c, by_kernel, by_outputs, by_columns, by_out;

  HOST_DEVICE unsigned area_bits() const { return 2 * pool_bit; }
  HOST_DEVICE unsigned area() const { return 1U << area_bits(); }  // a window's
  HOST_DEVICE unsigned positions() const { return batch * outputs * area(); }
  HOST_DEVICE unsigned depth() const { return taps * c; }  // extent of forward's K index
};

constexpr unsigned kOnes = 4;  // with a bias: up to four columns are read at once

// Blocks per multiprocessor, which the kernels leave registers for and the plan aims at.
constexpr unsigned kProductBlocks = 2;

struct ProductPlan {
  PatchShape shape;
  bool square = false;  // which kind of tile
  unsigned slices = 1;  // forward with a normalisation: of the channels
  unsigned tiles = 1;   //   of the positions
  unsigned parts = 1;   //   blocks that share a slice
  bool fits = true;     //   whether all blocks run at the same time, as they must to wait for one another
  unsigned weight_tiles = 1;  // backward: of dw
  unsigned weight_parts = 1;  //   of the positions, for each
  unsigned map_tiles = 1;     //   of dx

  // Blocks of forward: enough for two on every multiprocessor, or one for each tile.
  unsigned blocks() const { return slices * parts; }
  std::size_t slice_bytes() const;           // for forward's partial sums
  std::size_t weight_partial_bytes() const;  // for the partial sums of dw
};

// The first tile of block `part` of a slice; it also takes every `parts`-th tile after that. Tiles are dealt like
// cards: a slice continues where the previous one ended, so no multiprocessor gets the blocks with an extra tile of
// several slices.
HOST_DEVICE unsigned first_tile_of(unsigned part, unsigned parts, unsigned slice, unsigned tiles) {
  const unsigned dealt = slice * tiles % parts;
  return part < dealt ? part + parts - dealt : part - dealt;
}

// A convolution or dense layer as a convolution: a dense layer is one on maps of one pixel.
ConvDesc as_conv(const OpDesc& product);
// Whether these kernels can compute a ConvDesc or DenseDesc: channels are multiples of 4, no border, adjacent windows.
bool has_patches(const OpDesc& product);
ProductPlan plan_product(const CudaContext& context, const OpDesc& product, int batch);

// Computes dw, db and, if wanted, dx from the gradient of the pooled product.
struct ProductBackward {
  const void* dz = nullptr;
  const std::uint8_t* argmax = nullptr;  // null without a pool; kNoArgmax: the window has no gradient
  float* db = nullptr;                   // for a layer with a bias
  float* partial = nullptr;              // weight_partial_bytes()
};
void launch_product_backward(const CudaContext& context, const ProductPlan& plan, const OpArgs& args,
                             const ProductBackward& given);

}  // namespace trainer::cuda
