// A convolution or dense layer with the batch normalisation behind it: ours from end to end, where the
// kernels have room (fuses_norm). On the way back normalisation has its own kernel, as behind any other
// layer, and the products follow; a first layer does both at once.
#include <algorithm>

#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/first_layer/first_norm.hpp"
#include "kernels/cuda/matmul/product_norm.hpp"

namespace trainer::cuda {

namespace {

constexpr int kMostFirstChannels = 128;

std::size_t outputs_of(const NormalisedDesc& desc, int batch) {
  return static_cast<std::size_t>(batch) * desc.norm.in.size();
}

class FirstNormOp final : public Op {
 public:
  FirstNormOp(const CudaContext& context, const NormalisedDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        desc_(desc),
        shape_(shape_of(context, desc, batch)),
        outputs_(outputs_of(desc, batch)) {}

  bool gathers() const override { return true; }
  std::size_t saved_bytes() const override {
    return DeviceAllocator::aligned(saved_statistics_bytes(desc_.norm.in.c)) +
           DeviceAllocator::aligned(z_bytes()) + DeviceAllocator::aligned(outputs_);
  }
  std::size_t workspace_bytes() const override {
    return DeviceAllocator::aligned(sums_bytes()) + DeviceAllocator::aligned(taps_bytes());
  }

 private:
  static FirstNorm shape_of(const CudaContext& context, const NormalisedDesc& desc, int batch) {
    FirstNorm s;
    s.conv = first_conv_shape(std::get<ConvDesc>(desc.product), batch);
    s.gelu = desc.norm.gelu;
    s.run = (s.conv.batch + context.multiprocessors - 1) / context.multiprocessors;
    const auto pixels = static_cast<unsigned>(s.conv.ph * s.conv.pw);
    const unsigned most = std::min(kPictureMemory / pixels, kMostTogether);
    const unsigned turns = (s.run + most - 1) / most;
    s.together = (s.run + turns - 1) / turns;
    return s;
  }

  std::size_t z_bytes() const { return element_bytes(context_.element) * outputs_; }
  std::size_t sums_bytes() const { return slice_sums_bytes(shape_.blocks(), shape_.conv.channels); }
  std::size_t taps_bytes() const {
    const int kernel = std::get<ConvDesc>(desc_.product).kernel;
    return sizeof(float) * shape_.blocks() * shape_.conv.channels * static_cast<unsigned>(kernel * kernel);
  }

  FirstNormBuffers buffers(const OpArgs& args) const {
    DeviceAllocator scratch(args.workspace);
    FirstNormBuffers all;
    all.partial = scratch.take<double>(sums_bytes() / sizeof(double));
    all.taps = scratch.take<float>(taps_bytes() / sizeof(float));
    if (args.mode == Mode::inference) return all;
    DeviceAllocator kept(args.saved);
    all.statistics = kept.take<std::byte>(saved_statistics_bytes(desc_.norm.in.c));
    all.z = kept.take<std::byte>(z_bytes());
    all.argmax = kept.take<std::uint8_t>(outputs_);
    return all;
  }

  void run_forward(const OpArgs& args) override {
    launch_first_norm(context_, shape_, desc_, args, buffers(args));
  }
  void run_backward(const OpArgs& args) override {
    launch_first_norm_backward(context_, shape_, desc_, args, buffers(args));
  }

  const CudaContext& context_;
  NormalisedDesc desc_;
  FirstNorm shape_;
  std::size_t outputs_;
};

class ProductNormOp final : public Op {
 public:
  ProductNormOp(const CudaContext& context, const NormalisedDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        desc_(desc),
        plan_(plan_product_norm(context, product_of(desc), batch)),
        norm_(make_op(context, desc.norm, batch, true)),
        outputs_(outputs_of(desc, batch)) {}

  std::size_t saved_bytes() const override {
    return DeviceAllocator::aligned(norm_->saved_bytes()) + DeviceAllocator::aligned(z_bytes()) +
           DeviceAllocator::aligned(argmax_bytes());
  }
  std::size_t workspace_bytes() const override {
    const std::size_t backward = std::max(norm_->workspace_bytes(), plan_.weight_partial_bytes());
    return std::max(DeviceAllocator::aligned(plan_.slice_bytes()),
                    DeviceAllocator::aligned(z_bytes()) + DeviceAllocator::aligned(backward));
  }

 private:
  std::size_t z_bytes() const { return element_bytes(context_.element) * outputs_; }
  std::size_t argmax_bytes() const { return plan_.shape.pool_bit > 0 ? outputs_ : 0; }

  ProductBuffers buffers(const OpArgs& args) const {
    ProductBuffers all;
    all.partial = reinterpret_cast<double*>(args.workspace);
    if (args.mode == Mode::inference) return all;
    DeviceAllocator kept(args.saved);
    all.statistics = kept.take<std::byte>(norm_->saved_bytes());
    all.z = kept.take<std::byte>(z_bytes());
    auto* argmax = kept.take<std::uint8_t>(argmax_bytes());
    all.argmax = plan_.shape.pool_bit > 0 ? argmax : nullptr;
    return all;
  }

  void run_forward(const OpArgs& args) override {
    launch_product_norm(context_, plan_, desc_, args, buffers(args));
  }

  void run_backward(const OpArgs& args) override {
    const ProductBuffers kept = buffers(args);
    DeviceAllocator scratch(args.workspace);
    auto* dz = scratch.take<std::byte>(z_bytes());
    auto* rest = scratch.take<std::byte>(0);
    OpArgs norm = args;
    norm.x = kept.z;
    norm.dx = dz;
    norm.w = nullptr;
    norm.dw = nullptr;
    norm.saved = kept.statistics;
    norm.workspace = rest;
    norm_->backward(norm);
    launch_product_backward(context_, plan_, args,
                            {.dz = dz, .argmax = kept.argmax, .partial = reinterpret_cast<float*>(rest)});
  }

  const CudaContext& context_;
  NormalisedDesc desc_;
  ProductNormPlan plan_;
  std::unique_ptr<Op> norm_;
  std::size_t outputs_;
};

bool is_first(const NormalisedDesc& desc, bool wants_dx) {
  const auto* conv = std::get_if<ConvDesc>(&desc.product);
  return conv != nullptr && is_one_channel_conv(*conv, wants_dx) && conv->out <= kMostFirstChannels;
}

// And all blocks of forward at the same time.
bool has_products(const CudaContext& context, const NormalisedDesc& desc, int batch) {
  const OpDesc product = product_of(desc);
  return has_patches(product) && plan_product_norm(context, product, batch).fits;
}

}  // namespace

bool fuses_norm(const CudaContext& context, const NormalisedDesc& desc, int batch, bool wants_dx) {
  return is_first(desc, wants_dx) || has_products(context, desc, batch);
}

std::unique_ptr<Op> make_op(const CudaContext& context, const NormalisedDesc& desc, int batch,
                            bool wants_dx) {
  if (is_first(desc, wants_dx)) return std::make_unique<FirstNormOp>(context, desc, batch);
  if (has_products(context, desc, batch)) return std::make_unique<ProductNormOp>(context, desc, batch);
  throw BackendError(describe(desc) + ": two ops on this GPU");
}

}  // namespace trainer::cuda
