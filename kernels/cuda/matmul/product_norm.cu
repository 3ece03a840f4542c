// Forward of a convolution (with its max pool) or dense layer and of the batch normalisation behind it, in
// one kernel. A block takes a slice of the channels, as wide as a tile, and every few tiles of the positions;
// it keeps z, what comes out of the pool, and its sums; the blocks wait for one another; then it goes over
// its part of z again. In inference it normalises at once and nobody waits.
#include <algorithm>

#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/cuda/matmul/patches.cuh"
#include "kernels/cuda/matmul/product_factors.cuh"
#include "kernels/cuda/matmul/product_norm.hpp"
#include "kernels/cuda/matmul/product_tiles.cuh"

namespace trainer::cuda {

namespace {

template <typename T>
struct ProductForward {
  const T* x = nullptr;
  const float* w = nullptr;  // [out, taps, c]
  const float* beta = nullptr;
  T* z = nullptr;
  T* y = nullptr;
  std::uint8_t* argmax = nullptr;  // null without a pool
  BatchStatistics statistics;
  double* partial = nullptr;
  unsigned* barrier = nullptr;
  const StepState* state = nullptr;
  unsigned tiles = 1;
  unsigned parts = 1;
  bool gelu = false;
  bool training = false;
};

template <Factors kFactors, typename T, typename Tile>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks)
    product_norm(PatchShape s, ProductForward<T> a) {
  __shared__ float memory[Tile::kMemory];
  const SliceThread at = slice_thread<kProductThreads>(Tile::kColumns, a.parts);
  const unsigned first_channel = blockIdx.x / a.parts * Tile::kColumns;
  const unsigned c = first_channel + at.lane;
  const bool used = c < s.out && at.row < at.rows;
  const float beta = used ? a.beta[c] : 0.0F;
  const unsigned all = s.batch * s.outputs;
  const unsigned valid = a.state->valid * s.outputs;
  const unsigned own = Tile::kRows / s.area();  // outputs of a tile in each channel
  Centring to{};
  if (!a.training && used) to = running_centring(a.statistics, c);
  double sums[2] = {};
  const unsigned first_tile = first_tile_of(at.part, a.parts, blockIdx.x / a.parts, a.tiles);
  for (unsigned tile = first_tile; tile < a.tiles; tile += a.parts) {
    implicit_product<kFactors, Tile>(PatchRows<T>{s, a.x}, tile * Tile::kRows,
                                     FilterColumns{a.w, s.out, s.taps * s.c}, first_channel, 0, s.taps * s.c,
                                     memory);
    for (unsigned o = used ? at.row : own; o < own && tile * own + o < all; o += at.rows) {
      unsigned place;
      const float best = pooled<Tile>(memory, o, at.lane, s.area(), place);
      const unsigned p = tile * own + o;
      const std::size_t i = std::size_t{p} * s.out + c;
      if (!a.training) {
        a.y[i] = static_cast<T>(normalised(best, to, beta, a.gelu));
        continue;
      }
      a.z[i] = static_cast<T>(best);
      if (a.argmax != nullptr) a.argmax[i] = static_cast<std::uint8_t>(place);
      if (p >= valid) continue;
      const auto value = static_cast<double>(best);
      sums[0] += value;
      sums[1] += value * value;
    }
  }
  if (!a.training) return;
  sum_slice<kProductThreads>(at, a.partial, a.barrier, sums);
  if (!used) return;
  to = batch_centring(a.statistics, c, sums, static_cast<double>(valid), at.part == 0 && at.row == 0);
  for (unsigned tile = first_tile; tile < a.tiles; tile += a.parts) {
    const auto load = [&](unsigned p) { return static_cast<float>(a.z[std::size_t{p} * s.out + c]); };
    const auto use = [&](unsigned p, float z) {
      a.y[std::size_t{p} * s.out + c] = static_cast<T>(normalised(z, to, beta, a.gelu));
    };
    const unsigned end = min((tile + 1) * own, all);
    for_strided<4>(tile * own + at.row, end, at.rows, load, use);  // loads in a row: 4
  }
}

}  // namespace

void launch_product_norm(const CudaContext& context, const ProductNormPlan& plan, const NormalisedDesc& desc,
                         const OpArgs& args, const ProductBuffers& buffers) {
  visit_product(context, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
    ProductForward<T> a;
    a.x = static_cast<const T*>(args.x);
    a.w = args.w;
    a.beta = args.b;
    a.z = static_cast<T*>(buffers.z);
    a.y = static_cast<T*>(args.y);
    a.argmax = buffers.argmax;
    a.statistics = batch_statistics(desc.norm, args, buffers.statistics);
    a.partial = buffers.partial;
    a.barrier = context.barrier;
    a.state = args.state;
    a.tiles = plan.tiles;
    a.training = args.mode == Mode::training;
    a.parts = a.training ? plan.parts : plan.tiles;
    a.gelu = desc.norm.gelu;
    visit_tiles(plan.square, [&](auto tiles) {
      launch(context.stream, {plan.slices * a.parts, kProductThreads, a.training}, "product_norm",
             product_norm<kFactors, T, typename decltype(tiles)::Forward>, plan.shape, a);
    });
  });
}

namespace {

PatchShape plain_shape(const OpDesc& product, int batch) {
  const auto count = [](int value) { return static_cast<unsigned>(value); };
  const Shape out = out_shape(product);
  PatchShape s;
  s.batch = count(batch);
  s.out = count(out.c);
  s.rows = count(out.h);
  s.columns = count(out.w);
  if (const auto* dense = std::get_if<DenseDesc>(&product)) {
    s.c = count(dense->in);
    s.ones = dense->bias ? kOnes : 0;
    return s;
  }
  const auto& conv = std::get<ConvDesc>(product);
  s.h = count(conv.in.h);
  s.w = count(conv.in.w);
  s.c = count(conv.in.c);
  s.kernel = count(conv.kernel);
  s.pool_bit = conv.pool ? 1 : 0;
  s.ones = conv.bias ? kOnes : 0;
  return s;
}

PatchShape patch_shape(const OpDesc& product, int batch) {
  PatchShape s = plain_shape(product, batch);
  s.taps = s.kernel * s.kernel;
  s.outputs = s.rows * s.columns;
  s.by_c = Divider(s.c);
  s.by_kernel = Divider(s.kernel);
  s.by_outputs = Divider(s.outputs);
  s.by_columns = Divider(s.columns);
  s.by_out = Divider(s.out);
  return s;
}

// Blocks a multiprocessor that run at the same time, as far as they are wanted.
template <typename Tile>
unsigned forward_blocks(const CudaContext& context) {
  unsigned most = 0;
  visit_product(context, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
    const auto* kernel = reinterpret_cast<const void*>(product_norm<kFactors, T, Tile>);
    most = std::min(kProductBlocks, blocks_at_once(kernel, kProductThreads, "product_norm"));
  });
  return most;
}

}  // namespace

bool has_patches(const OpDesc& product) {
  if (out_shape(product).c % 4 != 0) return false;
  if (const auto* dense = std::get_if<DenseDesc>(&product)) return dense->in % 4 == 0;
  const auto& conv = std::get<ConvDesc>(product);
  const bool pool = !conv.pool || (conv.pool.size == 2 && conv.pool.stride == 2);
  const bool border = conv.pad.top + conv.pad.bottom + conv.pad.left + conv.pad.right > 0;
  return conv.stride == 1 && !border && pool && conv.in.c % 4 == 0;
}

ProductNormPlan plan_product_norm(const CudaContext& context, const OpDesc& product, int batch) {
  constexpr unsigned kLeastTerms = 512;  // of a part of dw
  constexpr int kSmallBatch = 64;        // a quarter of a long tile
  ProductNormPlan plan;
  plan.shape = patch_shape(product, batch);
  plan.square = std::holds_alternative<DenseDesc>(product) || batch <= kSmallBatch;
  const PatchShape& s = plan.shape;
  const unsigned room = kProductBlocks * context.multiprocessors;
  visit_tiles(plan.square, [&](auto tiles) {
    using Forward = typename decltype(tiles)::Forward;
    using Map = typename decltype(tiles)::Map;
    using Weights = typename decltype(tiles)::Weights;
    plan.slices = divided_up(s.out, Forward::kColumns);
    plan.tiles = divided_up(s.positions(), Forward::kRows);
    const unsigned at_once = forward_blocks<Forward>(context) * context.multiprocessors;
    plan.parts = std::min(plan.tiles, std::max(at_once / plan.slices, 1U));
    plan.fits = plan.blocks() <= at_once;
    plan.weight_tiles =
        divided_up(s.out, Weights::kRows) * divided_up(s.taps * s.c + s.ones, Weights::kColumns);
    const unsigned most = std::min(room / plan.weight_tiles, divided_up(s.positions(), kLeastTerms));
    plan.weight_parts = plan.weight_tiles > kTickets ? 1 : std::max(most, 1U);
    plan.map_tiles = s.h * s.w * divided_up(s.batch, Map::kRows) * divided_up(s.c, Map::kColumns);
  });
  return plan;
}

std::size_t ProductNormPlan::slice_bytes() const {
  return visit_tiles(
      square, [&](auto tiles) { return slice_sums_bytes(blocks(), decltype(tiles)::Forward::kColumns); });
}

std::size_t ProductNormPlan::weight_partial_bytes() const {
  if (weight_parts == 1) return 0;
  return visit_tiles(square, [&](auto tiles) {
    return sizeof(float) * weight_tiles * weight_parts * decltype(tiles)::Weights::kOutputs;
  });
}

}  // namespace trainer::cuda
