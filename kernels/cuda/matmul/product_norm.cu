// A convolution (with its max pool) or dense layer and the batch normalisation after it. Forward is one kernel: a block
// takes a slice of the channels, as wide as a tile, and every few tiles of the positions; it writes z, the pool's
// output, and its sums; the blocks wait for one another; then it normalises its part of z. In inference it normalises
// at once and no block waits. In backward, normalisation has its own kernel, as after any other layer, and the
// products' gradients follow.
#include <algorithm>

#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/cuda/matmul/implicit_product.cuh"
#include "kernels/cuda/matmul/patches.cuh"
#include "kernels/cuda/matmul/product_plan.hpp"

namespace trainer::cuda {

namespace {

template <typename T>
struct ProductForward {
  NormArgs norm;
  const T* x = nullptr;
  const float* w = nullptr;  // [out, taps, c]
  T* z = nullptr;
  T* y = nullptr;
  std::uint8_t* argmax = nullptr;  // null without a pool
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
  const float beta = used ? a.norm.beta[c] : 0.0F;
  const unsigned all = s.batch * s.outputs;
  const unsigned valid = a.norm.state->valid * s.outputs;
  const unsigned own = Tile::kRows / s.area();  // outputs of a tile in each channel
  Centring to{};
  if (!a.training && used) to = running_centring(a.norm, c);
  double sums[2] = {};
  const unsigned first_tile = first_tile_of(at.part, a.parts, blockIdx.x / a.parts, a.tiles);
  for (unsigned tile = first_tile; tile < a.tiles; tile += a.parts) {
    implicit_product<kFactors, Tile>(ForwardPatches<T>{s, a.x}, tile * Tile::kRows,
                                     ForwardFilters{a.w, s.out, s.depth()}, first_channel, 0, s.depth(),
                                     memory);
    for (unsigned o = used ? at.row : own; o < own && tile * own + o < all; o += at.rows) {
      unsigned argmax;
      const float best = pooled<Tile>(memory, o, at.lane, s.area(), argmax);
      const unsigned p = tile * own + o;
      const std::size_t i = std::size_t{p} * s.out + c;
      if (!a.training) {
        a.y[i] = static_cast<T>(normalised(best, to, beta, a.gelu));
        continue;
      }
      a.z[i] = static_cast<T>(best);
      if (a.argmax != nullptr) a.argmax[i] = static_cast<std::uint8_t>(argmax);
      if (p >= valid) continue;
      const auto value = static_cast<double>(best);
      sums[0] += value;
      sums[1] += value * value;
    }
  }
  if (!a.training) return;
  sum_slice<kProductThreads>(at, a.norm.partial, a.norm.barrier, sums);
  if (!used) return;
  to = batch_centring(a.norm, c, sums, static_cast<double>(valid), at.part == 0 && at.row == 0);
  for (unsigned tile = first_tile; tile < a.tiles; tile += a.parts) {
    const auto load = [&](unsigned p) { return static_cast<float>(a.z[std::size_t{p} * s.out + c]); };
    const auto use = [&](unsigned p, float z) {
      a.y[std::size_t{p} * s.out + c] = static_cast<T>(normalised(z, to, beta, a.gelu));
    };
    const unsigned end = min((tile + 1) * own, all);
    for_strided<4>(tile * own + at.row, end, at.rows, load, use);  // loads in a row: 4
  }
}

PatchShape patch_shape(const ConvDesc& conv, int batch) {
  const auto count = [](int value) { return static_cast<unsigned>(value); };
  const Shape out = out_shape(conv);
  PatchShape s;
  s.batch = count(batch);
  s.h = count(conv.in.h);
  s.w = count(conv.in.w);
  s.c = count(conv.in.c);
  s.kernel = count(conv.kernel);
  s.rows = count(out.h);
  s.columns = count(out.w);
  s.pool_bit = conv.pool ? 1 : 0;
  s.out = count(out.c);
  s.taps = s.kernel * s.kernel;
  s.outputs = s.rows * s.columns;
  s.ones = conv.bias ? kOnes : 0;
  s.by_c = Divider(s.c);
  s.by_kernel = Divider(s.kernel);
  s.by_outputs = Divider(s.outputs);
  s.by_columns = Divider(s.columns);
  s.by_out = Divider(s.out);
  return s;
}

// How many blocks a multiprocessor runs at the same time, at most kProductBlocks.
template <typename Tile>
unsigned forward_blocks(const CudaContext& context) {
  unsigned most = 0;
  visit_product(context, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
    const auto* kernel = reinterpret_cast<const void*>(product_norm<kFactors, T, Tile>);
    most = std::min(kProductBlocks, blocks_at_once(kernel, kProductThreads, "product_norm"));
  });
  return most;
}

class ProductNormOp final : public Op {
 public:
  ProductNormOp(const CudaContext& context, const NormalisedDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        desc_(desc.norm),
        plan_(plan_product(context, product_of(desc), batch)),
        norm_(make_op(context, desc.norm, batch, true)),
        outputs_(static_cast<std::size_t>(batch) * desc.norm.in.size()) {}

  std::size_t saved_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { take_saved(memory); });
  }
  std::size_t workspace_bytes() const override {
    const std::size_t backward = std::max(norm_->workspace_bytes(), plan_.weight_partial_bytes());
    return std::max(DeviceAllocator::aligned(plan_.slice_bytes()),
                    DeviceAllocator::aligned(z_bytes()) + DeviceAllocator::aligned(backward));
  }

 private:
  std::size_t z_bytes() const { return element_bytes(context_.element) * outputs_; }

  struct Saved {
    std::byte* statistics;
    std::byte* z;
    std::uint8_t* argmax;  // null without a pool
  };
  Saved take_saved(DeviceAllocator& memory) const {
    auto* statistics = memory.take<std::byte>(norm_->saved_bytes());
    auto* z = memory.take<std::byte>(z_bytes());
    return {statistics, z, plan_.shape.pool_bit > 0 ? memory.take<std::uint8_t>(outputs_) : nullptr};
  }

  void run_forward(const OpArgs& args) override {
    const bool training = args.mode == Mode::training;
    DeviceAllocator memory(training ? args.saved : nullptr);
    const Saved saved = take_saved(memory);
    visit_product(context_, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
      ProductForward<T> a;
      a.x = static_cast<const T*>(args.x);
      a.w = args.w;
      a.z = reinterpret_cast<T*>(saved.z);
      a.y = static_cast<T*>(args.y);
      a.argmax = saved.argmax;
      a.norm = norm_args(desc_, args, saved.statistics, reinterpret_cast<double*>(args.workspace),
                         context_.barrier);
      a.tiles = plan_.tiles;
      a.parts = training ? plan_.parts : plan_.tiles;
      a.gelu = desc_.gelu;
      a.training = training;
      visit_tiles(plan_.square, [&](auto tiles) {
        launch(context_.stream, {plan_.slices * a.parts, kProductThreads, training}, "product_norm",
               product_norm<kFactors, T, typename decltype(tiles)::Forward>, plan_.shape, a);
      });
    });
  }

  void run_backward(const OpArgs& args) override {
    DeviceAllocator memory(args.saved);
    const Saved saved = take_saved(memory);
    DeviceAllocator scratch(args.workspace);
    auto* dz = scratch.take<std::byte>(z_bytes());
    auto* rest = scratch.take<std::byte>(0);
    OpArgs norm = args;
    norm.x = saved.z;
    norm.dx = dz;
    norm.w = nullptr;
    norm.dw = nullptr;
    norm.saved = saved.statistics;
    norm.workspace = rest;
    norm_->backward(norm);
    launch_product_backward(context_, plan_, args,
                            {.dz = dz, .argmax = saved.argmax, .partial = reinterpret_cast<float*>(rest)});
  }

  const CudaContext& context_;
  BatchNormDesc desc_;
  ProductPlan plan_;
  std::unique_ptr<Op> norm_;
  std::size_t outputs_;
};

}  // namespace

ConvDesc as_conv(const OpDesc& product) {
  if (const auto* conv = std::get_if<ConvDesc>(&product)) return *conv;
  const auto& dense = std::get<DenseDesc>(product);
  ConvDesc conv;
  conv.in = {1, 1, dense.in};
  conv.out = dense.out;
  conv.bias = dense.bias;
  conv.relu = dense.relu;
  conv.y_map = dense.y_map;
  return conv;
}

bool has_patches(const OpDesc& product) {
  const ConvDesc conv = as_conv(product);
  const bool pool = !conv.pool || (conv.pool.size == 2 && conv.pool.stride == 2);
  return conv.stride == 1 && conv.pad == Border{} && pool && conv.in.c % 4 == 0 && conv.out % 4 == 0;
}

ProductPlan plan_product(const CudaContext& context, const OpDesc& product, int batch) {
  constexpr unsigned kLeastTerms = 512;  // for each part of dw
  constexpr int kSmallBatch = 64;        // a quarter of a long tile
  ProductPlan plan;
  plan.shape = patch_shape(as_conv(product), batch);
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
    plan.weight_tiles = divided_up(s.out, Weights::kRows) * divided_up(s.depth() + s.ones, Weights::kColumns);
    const unsigned most = std::min(room / plan.weight_tiles, divided_up(s.positions(), kLeastTerms));
    plan.weight_parts = plan.weight_tiles > kTickets ? 1 : std::max(most, 1U);
    plan.map_tiles = s.h * s.w * divided_up(s.batch, Map::kRows) * divided_up(s.c, Map::kColumns);
  });
  return plan;
}

std::size_t ProductPlan::slice_bytes() const {
  return visit_tiles(
      square, [&](auto tiles) { return slice_sums_bytes(blocks(), decltype(tiles)::Forward::kColumns); });
}

std::size_t ProductPlan::weight_partial_bytes() const {
  if (weight_parts == 1) return 0;
  return visit_tiles(square, [&](auto tiles) {
    return sizeof(float) * weight_tiles * weight_parts * decltype(tiles)::Weights::kOutputs;
  });
}

std::unique_ptr<Op> make_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch) {
  return std::make_unique<ProductNormOp>(context, desc, batch);
}

bool is_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch) {
  const OpDesc product = product_of(desc);
  return has_patches(product) && plan_product(context, product, batch).fits;
}

}  // namespace trainer::cuda
