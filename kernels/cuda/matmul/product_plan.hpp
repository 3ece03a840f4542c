// How the products of a convolution or dense layer as implicit GEMMs (patches.cuh) are divided into blocks, and the
// launch of their gradients, which serve layers with a batch normalisation (product_norm.cu) and small ones
// (small_product.cu) alike.
#pragma once

#include "kernels/cuda/context.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

// A convolution with stride 1 and no border. A dense layer is one whose maps have one pixel.
struct PatchShape {
  unsigned batch = 1;
  unsigned h = 1, w = 1, c = 1;  // of x
  unsigned kernel = 1;
  unsigned rows = 1, columns = 1;  // of y, after the pool
  unsigned pool_bit = 0;           // 1: windows of 2 x 2, side by side; 0: no pool
  unsigned out = 1;
  unsigned taps = 1;     // of the filter: kernel x kernel
  unsigned outputs = 1;  // of an image and channel: rows x columns
  unsigned ones = 0;     // columns that dw has after the taps': patches of ones, so that the first is db
  Divider by_c, by_kernel, by_outputs, by_columns, by_out;

  HOST_DEVICE unsigned area_bits() const { return 2 * pool_bit; }
  HOST_DEVICE unsigned area() const { return 1U << area_bits(); }  // of a window
  HOST_DEVICE unsigned positions() const { return batch * outputs * area(); }
  HOST_DEVICE unsigned depth() const { return taps * c; }  // of forward's sums: the extent of the K index
};

constexpr unsigned kOnes = 4;  // where there is a bias: up to four columns are read at once

// The blocks for a multiprocessor that the kernels leave registers for, and that the plan asks for.
constexpr unsigned kProductBlocks = 2;

struct ProductPlan {
  PatchShape shape;
  bool square = false;  // which tiles
  unsigned slices = 1;  // forward with a normalisation: of the channels
  unsigned tiles = 1;   //   of the positions
  unsigned parts = 1;   //   blocks that share a slice
  bool fits = true;     //   whether all blocks run at the same time, as they must to wait for one another
  unsigned weight_tiles = 1;  // backward: of dw
  unsigned weight_parts = 1;  //   of the positions, for each
  unsigned map_tiles = 1;     //   of dx

  // Of forward: so many that every multiprocessor has two, or each tile has one.
  unsigned blocks() const { return slices * parts; }
  std::size_t slice_bytes() const;           // for forward's partial sums
  std::size_t weight_partial_bytes() const;  // for the partial sums of dw
};

// The first tile of a share of a slice; the next ones follow every `shares`. Tiles are dealt like cards: a slice goes on
// where the one before it ended. So a multiprocessor whose block of one slice has a tile more than others has no such
// block of another slice.
HOST_DEVICE unsigned first_tile_of(unsigned part, unsigned parts, unsigned slice, unsigned tiles) {
  const unsigned dealt = slice * tiles % parts;
  return part < dealt ? part + parts - dealt : part - dealt;
}

// Whether a ConvDesc or DenseDesc has such operands: channels in fours, no border, windows side by side.
bool has_patches(const OpDesc& product);
ProductPlan plan_product(const CudaContext& context, const OpDesc& product, int batch);

// dw, db and, where it is wanted, dx from the gradient of the product after its pool.
struct ProductBackward {
  const void* dz = nullptr;
  const std::uint8_t* argmax =
      nullptr;               // null without a pool. A window has no gradient where it is kNoArgmax
  float* db = nullptr;       // of a layer with a bias
  float* partial = nullptr;  // weight_partial_bytes()
};
void launch_product_backward(const CudaContext& context, const ProductPlan& plan, const OpArgs& args,
                             const ProductBackward& given);

}  // namespace trainer::cuda
