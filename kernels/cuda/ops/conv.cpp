// Chooses the op for a convolution, or for a product with a batch normalisation after it. Also, convolutions by the
// library: its three passes, and kernels of our own for bias, ReLU and max pool. With a pool the map itself is scratch
// in both directions: forward saves the pool's argmax, and backward computes the map's gradient from it. The library's
// weights and their gradient have the maps' element type.
#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/ops/pool.hpp"

namespace trainer::cuda {

namespace {

ConvolutionShape library_shape(const CudaContext& context, const ConvDesc& d, int batch, bool wants_dx) {
  return {batch, d.in, d.out, d.kernel, d.stride, d.pad, context.precision, wants_dx};
}

class Conv final : public Op {
 public:
  Conv(const CudaContext& context, const ConvDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        map_(conv_map(desc)),
        positions_(static_cast<unsigned>(batch * map_.h * map_.w)),
        channels_(static_cast<unsigned>(map_.c)),
        pool_(batch, map_, out_shape(desc), desc.pool),
        library_(context.convolutions->make(library_shape(context, desc, batch, wants_dx))) {}

  bool casts_dw() const override { return is_cast() && !widens_dw(); }
  std::size_t saved_bytes() const override { return conv_.pool ? batch() * out_shape(conv_).size() : 0; }
  std::size_t workspace_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  std::size_t map_bytes() const { return element_bytes(context_.element) * positions_ * channels_; }
  bool is_cast() const { return context_.element != Element::fp32; }
  bool widens_dw() const { return is_cast() && context_.part.ranks != nullptr; }  // ranks exchange fp32
  const void* weights(const OpArgs& args) const { return is_cast() ? args.cast_w : args.w; }

  struct Layout {
    void* map;       // forward: input of bias and pool; backward: its gradient
    float* partial;  // partial sums of the bias gradient
    std::byte* dw;   // before it is widened
    std::byte* library;
  };
  Layout lay_out(DeviceAllocator& memory) const {
    auto* map = memory.take<std::byte>(map_bytes());
    auto* partial = memory.take<float>(db_partial_bytes(channels_) / sizeof(float));
    auto* dw = memory.take<std::byte>(widens_dw() ? stored_count(0) * element_bytes(context_.element) : 0);
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
    const void* dmap = own.map;
    if (conv_.pool) {
      const auto* argmax = reinterpret_cast<const std::uint8_t*>(args.saved);
      launch_maxpool_backward(context_, pool_,
                              {args.dy, args.y, conv_.relu, argmax, own.map, args.db, own.partial});
    } else {
      if (!conv_.relu) dmap = args.dy;
      if (conv_.relu || args.db != nullptr) {
        void* dz = conv_.relu ? own.map : nullptr;
        launch_bias_relu_backward(context_, positions_, channels_,
                                  {args.dy, args.y, conv_.relu, nullptr, dz, args.db, own.partial});
      }
    }
    void* dw = widens_dw() ? static_cast<void*>(own.dw) : args.dw;
    library_->backward_weights(args.x, dmap, dw, own.library);
    if (widens_dw()) launch_widen(context_, dw, args.dw, stored_count(0));
    if (args.dx != nullptr) library_->backward_data(dmap, weights(args), args.dx, own.library);
  }

  const CudaContext& context_;
  ConvDesc conv_;
  Shape map_;
  unsigned positions_, channels_;
  PoolShape pool_;
  std::unique_ptr<Convolution> library_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const ConvDesc& desc, int batch, bool wants_dx) {
  if (is_one_channel_conv(desc, wants_dx)) return make_one_channel_conv(context, desc, batch);
  if (auto ours = make_small_product(context, desc, batch)) return ours;
  if (desc.pool) require_poolable(desc, desc.pool, "GPU");
  return std::make_unique<Conv>(context, desc, batch, wants_dx);
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
