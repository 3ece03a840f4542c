// The kernels of a convolution or dense layer whose operands are read where they lie (patches.cuh): forward
// with the batch normalisation behind it, and the gradients of every such layer.
#pragma once

#include "kernels/cuda/context.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

// Of a convolution with stride 1 and no border, or of a dense layer as one of maps of one pixel.
struct PatchShape {
  unsigned batch = 1;
  unsigned h = 1, w = 1, c = 1;  // of x
  unsigned kernel = 1;
  unsigned rows = 1, columns = 1;  // of y, behind the pool
  unsigned pool_bit = 0;           // 1: windows of 2 x 2, side by side; 0: no pool
  unsigned out = 1;
  unsigned taps = 1;     // of the filter
  unsigned outputs = 1;  // of an image and channel
  unsigned ones = 0;     // columns that dw has behind the taps': patches of ones, so that the first is db
  Divider by_c, by_kernel, by_outputs, by_columns, by_out;

  HOST_DEVICE unsigned area_bits() const { return 2 * pool_bit; }
  HOST_DEVICE unsigned area() const { return 1U << area_bits(); }  // of a window
  HOST_DEVICE unsigned positions() const { return batch * outputs * area(); }
};

constexpr unsigned kOnes = 4;  // where there is a bias: columns are read up to four at once

// Blocks a multiprocessor that the kernels leave registers for, and as many as are wanted.
constexpr unsigned kProductBlocks = 2;

// How the work is cut: see the kernels.
struct ProductNormPlan {
  PatchShape shape;
  bool square = false;        // which tiles
  unsigned slices = 1;        // forward: of the channels
  unsigned tiles = 1;         //   of the positions
  unsigned parts = 1;         //   blocks that share a slice
  bool fits = true;           //   all blocks at the same time, which wait for one another
  unsigned weight_tiles = 1;  // backward: of dw
  unsigned weight_parts = 1;  //   of the positions, for each
  unsigned map_tiles = 1;     //   of dx

  // Of forward, at the same time: so many that every multiprocessor has two, or each tile has one.
  unsigned blocks() const { return slices * parts; }
  std::size_t slice_bytes() const;           // sums of forward
  std::size_t weight_partial_bytes() const;  // dw of the parts
};

// The first tile of a part of a slice; the next ones follow every `shares`. Tiles are dealt like cards: a
// slice goes on where the one before it ended. So where a multiprocessor has a block of one slice with a tile
// more than others, its block of another slice has not.
HOST_DEVICE unsigned first_tile_of(unsigned part, unsigned parts, unsigned slice, unsigned tiles) {
  const unsigned dealt = slice * tiles % parts;
  return part < dealt ? part + parts - dealt : part - dealt;
}

// Of a ConvDesc or DenseDesc. Whether it has such operands: quads of channels, no border, windows side by
// side.
bool has_patches(const OpDesc& product);
ProductNormPlan plan_product_norm(const CudaContext& context, const OpDesc& product, int batch);

// What forward keeps for backward, and scratch.
struct ProductBuffers {
  std::byte* statistics = nullptr;  // kept_statistics_bytes()
  void* z = nullptr;                // [n, rows, columns, out]: in front of the normalisation
  std::uint8_t* argmax = nullptr;   // of the same shape, with a pool
  double* partial = nullptr;        // slice_bytes()
};

void launch_product_norm(const CudaContext& context, const ProductNormPlan& plan, const NormalisedDesc& desc,
                         const OpArgs& args, const ProductBuffers& buffers);

// dw, and dx where it is wanted, from the gradient of z. A window whose argmax is none of its pixels has no
// gradient.
struct ProductBackward {
  const void* dz = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* db = nullptr;       // of a layer with a bias
  float* partial = nullptr;  // weight_partial_bytes()
};
void launch_product_backward(const CudaContext& context, const ProductNormPlan& plan, const OpArgs& args,
                             const ProductBackward& buffers);

}  // namespace trainer::cuda
