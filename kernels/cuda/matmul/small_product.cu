// A convolution (with its max pool) or dense layer that is small enough for tiles of our own, with bias and ReLU:
// forward is one plain kernel, and product_backward computes the gradients of weights, bias and x. If the ReLU cuts off
// a window of the pool, forward writes kNoArgmax, so backward reads no y and needs no masking kernel.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/implicit_product.cuh"
#include "kernels/cuda/matmul/patches.cuh"
#include "kernels/cuda/matmul/product_plan.hpp"

namespace trainer::cuda {

namespace {

template <typename T>
struct SmallForward : MapArgs<T> {  // w [out, taps, c]
  using MapArgs<T>::MapArgs;
  std::uint8_t* argmax = nullptr;  // null: not wanted
  bool relu = false;
};

template <Factors kFactors, typename T, typename Tile>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks)
    small_product(PatchShape s, SmallForward<T> a) {
  constexpr unsigned kStride = kProductThreads / Tile::kColumns;
  static_assert(kProductThreads % Tile::kColumns == 0);
  __shared__ float memory[Tile::kMemory];
  const unsigned across = divided_up(s.out, Tile::kColumns);
  const unsigned column = blockIdx.x % across * Tile::kColumns;
  const unsigned tile = blockIdx.x / across;
  const unsigned lane = threadIdx.x % Tile::kColumns;
  const unsigned c = column + lane;
  const float bias = c < s.out && a.b != nullptr ? a.b[c] : 0.0F;
  const unsigned terms = s.depth();
  implicit_product<kFactors, Tile>(ForwardPatches<T>{s, a.x}, tile * Tile::kRows,
                                   ForwardFilters{a.w, s.out, terms}, column, 0, terms, memory);
  if (c >= s.out) return;
  const unsigned own = Tile::kRows / s.area();  // outputs of a tile in each channel
  const unsigned first = tile * own;
  const unsigned end = min(own, s.batch * s.outputs - first);
  for (unsigned o = threadIdx.x / Tile::kColumns; o < end; o += kStride) {
    unsigned argmax;
    const float z = pooled<Tile>(memory, o, lane, s.area(), argmax) + bias;
    const T y = static_cast<T>(a.relu ? relu(z) : z);
    const std::size_t at = std::size_t{first + o} * s.out + c;
    a.y[at] = y;
    const bool stopped = a.relu && !(static_cast<float>(y) > 0);
    if (a.argmax != nullptr) a.argmax[at] = stopped ? kNoArgmax : static_cast<std::uint8_t>(argmax);
  }
}

class SmallProduct final : public Op {
 public:
  SmallProduct(const CudaContext& context, const OpDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        plan_(plan_product(context, desc, batch)),
        pools_(plan_.shape.pool_bit > 0),
        relu_(as_conv(desc).relu) {}

  std::size_t saved_bytes() const override {
    return pools_ ? std::size_t{plan_.shape.batch} * plan_.shape.outputs * plan_.shape.out : 0;
  }
  std::size_t workspace_bytes() const override { return plan_.weight_partial_bytes(); }

 private:
  void run_forward(const OpArgs& args) override {
    visit_product(context_, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
      SmallForward<T> a(args);
      if (pools_ && a.training) a.argmax = reinterpret_cast<std::uint8_t*>(args.saved);
      a.relu = relu_;
      visit_tiles(plan_.square, [&](auto tiles) {
        using Tile = typename decltype(tiles)::SmallForward;
        const PatchShape& s = plan_.shape;
        const unsigned blocks = divided_up(s.positions(), Tile::kRows) * divided_up(s.out, Tile::kColumns);
        launch(context_.stream, {blocks, kProductThreads}, "small_product", small_product<kFactors, T, Tile>,
               s, a);
      });
    });
  }

  void run_backward(const OpArgs& args) override {
    const auto* argmax = pools_ ? reinterpret_cast<const std::uint8_t*>(args.saved) : nullptr;
    auto* partial = reinterpret_cast<float*>(args.workspace);
    launch_product_backward(context_, plan_, args, {args.dy, argmax, args.db, partial});
  }

  const CudaContext& context_;
  ProductPlan plan_;
  bool pools_, relu_;
};

// A library's tiles are 64 to 256 outputs wide and long. 32 filters leave most of one idle, and a dense layer with few
// rows and outputs has fewer tiles than a GPU has multiprocessors. Our block runs through the whole K index, which pays
// off while that is short.
constexpr int kMostFilters = 32;
constexpr int kMostFeatures = 256;
constexpr int kMostRows = 1024;
constexpr int kMostTerms = 1024;

// In backward the ReLU's mask is in the pool's argmax (see above), or the head has applied it to dy.
bool is_small(const OpDesc& desc, int batch) {
  if (const auto* d = std::get_if<ConvDesc>(&desc))
    return d->out <= kMostFilters && d->kernel * d->kernel * d->in.c <= kMostTerms && (d->pool || !d->relu);
  const auto& d = std::get<DenseDesc>(desc);
  return d.out <= kMostFeatures && batch <= kMostRows && d.in <= kMostTerms && (d.y_map.masked || !d.relu);
}

}  // namespace

std::unique_ptr<Op> make_small_product(const CudaContext& context, const OpDesc& desc, int batch) {
  if (context.libraries || !has_patches(desc) || !is_small(desc, batch)) return nullptr;
  return std::make_unique<SmallProduct>(context, desc, batch);
}

}  // namespace trainer::cuda
