// Chooses the op for a convolution or dense layer, by itself or with a batch normalisation after it. Also, such a layer by a library:
// its three passes, and kernels of our own for bias, ReLU and max pool, because the libraries' ReLU may turn NaN into 0, which would
// hide a network that diverges.
//   forward   y = relu(x w^T + b), pooled
//   backward  dz = dy where y > 0;  dw = dz^T x,  db = sum dz,  dx = dz w
// With a pool the map itself is scratch in both directions: forward saves the pool's argmax, and backward computes the map's
// gradient from it. If the head after a dense layer has masked dy already, the product for dw also gives db. The libraries' weights
// have the maps' element type, and so has their gradient of a convolution's weights.
#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/matmul/product_plan.hpp"
#include "kernels/cuda/ops/pool.hpp"

namespace trainer::cuda {

namespace {

class LibraryLayer final : public Op {
 public:
  LibraryLayer(const CudaContext& context, const OpDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        is_conv_(std::holds_alternative<ConvDesc>(desc)),
        conv_(as_conv(desc)),
        masks_dy_(conv_.relu && !conv_.y_map.masked),
        map_(conv_map(conv_)),
        positions_(static_cast<unsigned>(batch * map_.h * map_.w)),
        channels_(static_cast<unsigned>(map_.c)),
        pool_(batch, map_, out_shape(desc), conv_.pool),
        library_((is_conv_ ? context.convolutions : context.products)
                     ->make({.batch = batch,
                             .in = conv_.in,
                             .out = conv_.out,
                             .kernel = conv_.kernel,
                             .stride = conv_.stride,
                             .pad = conv_.pad,
                             .precision = context.precision,
                             .wants_dx = wants_dx,
                             .sums_dy = library_sums_dy()})) {}

  bool casts_dw() const override { return is_conv_ && is_cast() && !widens_dw(); }
  std::size_t saved_bytes() const override { return conv_.pool ? batch() * out_shape(desc()).size() : 0; }
  std::size_t workspace_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  bool is_cast() const { return context_.element != Element::fp32; }
  bool widens_dw() const {
    return is_conv_ && is_cast() && context_.part.ranks != nullptr;
  }  // ranks exchange fp32
  bool library_sums_dy() const { return !is_conv_ && conv_.bias && !masks_dy_; }
  const void* weights(const OpArgs& args) const { return is_cast() ? args.cast_w : args.w; }

  struct Layout {
    void* map;       // forward: input of bias and pool; backward: its gradient
    float* partial;  // partial sums of the bias gradient
    std::byte* dw;   // before it is widened
    std::byte* library;
  };
  Layout lay_out(DeviceAllocator& memory) const {
    const std::size_t element = element_bytes(context_.element);
    auto* map = memory.take<std::byte>(conv_.pool || masks_dy_ ? element * positions_ * channels_ : 0);
    auto* partial = memory.take<float>(db_partial_bytes(channels_) / sizeof(float));
    auto* dw = memory.take<std::byte>(widens_dw() ? element * stored_count(0) : 0);
    return {map, partial, dw, memory.take<std::byte>(library_->workspace_bytes())};
  }
  Layout layout(const OpArgs& args) const {
    DeviceAllocator memory(args.workspace);
    return lay_out(memory);
  }

  void run_forward(const OpArgs& args) override {
    const Layout own = layout(args);
    void* map = conv_.pool ? own.map : args.y;
    library_->forward(args.x, weights(args), map, own.library);
    if (conv_.pool) {
      auto* argmax = args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) : nullptr;
      launch_maxpool(context_, pool_, {map, args.b, conv_.relu, args.y, argmax});
    } else if (args.b != nullptr || conv_.relu) {
      launch_bias_relu(context_, args.b, conv_.relu, args.y, positions_, channels_);
    }
  }

  void run_backward(const OpArgs& args) override {
    const Layout own = layout(args);
    const bool has_map = conv_.pool || masks_dy_;
    const auto* argmax = conv_.pool ? reinterpret_cast<const std::uint8_t*>(args.saved) : nullptr;
    void* dz = has_map ? own.map : nullptr;
    const MapBackward map{args.dy, args.y, masks_dy_, argmax, dz, args.db, own.partial};
    if (conv_.pool) {
      launch_maxpool_backward(context_, pool_, map);
    } else if (masks_dy_ || (args.db != nullptr && !library_sums_dy())) {
      launch_bias_relu_backward(context_, positions_, channels_, map);
    }
    const void* dmap = has_map ? dz : args.dy;
    void* dw = widens_dw() ? static_cast<void*>(own.dw) : args.dw;
    library_->backward_weights(args.x, dmap, dw, library_sums_dy() ? args.db : nullptr, own.library);
    if (widens_dw()) launch_widen(context_, dw, args.dw, stored_count(0));
    if (args.dx != nullptr) library_->backward_data(dmap, weights(args), args.dx, own.library);
  }

  const CudaContext& context_;
  bool is_conv_;
  ConvDesc conv_;  // a dense layer as a convolution
  bool masks_dy_;
  Shape map_;
  unsigned positions_, channels_;
  PoolShape pool_;
  std::unique_ptr<LayerPasses> library_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const ConvDesc& desc, int batch, bool wants_dx) {
  if (is_one_channel_conv(desc, wants_dx)) return make_one_channel_conv(context, desc, batch);
  if (auto ours = make_small_product(context, desc, batch)) return ours;
  if (desc.pool) require_poolable(desc, desc.pool, "GPU");
  return std::make_unique<LibraryLayer>(context, desc, batch, wants_dx);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  if (auto ours = make_small_product(context, desc, batch)) return ours;
  return std::make_unique<LibraryLayer>(context, desc, batch, wants_dx);
}

bool fuses_norm(const CudaContext& context, const NormalisedDesc& desc, int batch, bool wants_dx) {
  return is_first_norm(desc, wants_dx) || is_product_norm(context, desc, batch);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const NormalisedDesc& desc, int batch,
                            bool wants_dx) {
  if (is_first_norm(desc, wants_dx)) return make_first_norm(context, desc, batch);
  if (is_product_norm(context, desc, batch)) return make_product_norm(context, desc, batch);
  throw BackendError(describe(desc) + ": two ops on this GPU");
}

}  // namespace trainer::cuda
