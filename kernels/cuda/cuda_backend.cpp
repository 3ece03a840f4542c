// The CUDA engine: one device, one stream, the libraries' handles, and the ops made with them. Everything on
// the stream runs in the order in which it was launched.
#include <algorithm>
#include <fmt/format.h>
#include <limits>

#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_info/device_info.hpp"
#include "kernels/cuda/portable/backend.hpp"
#include "kernels/cuda/ranks/rank_backend.hpp"
#include "kernels/gpu_host/gpu_architectures.hpp"

namespace trainer {

namespace cuda {

namespace {

// Tensor cores take 16 bytes of a pixel's channels at a time; cuDNN would pad them itself, in a kernel of its own.
constexpr int kChannelMultiple = 8;

// The loss scale of fp16. It is fixed: lowering it when gradients overflow would cost each step another kernel, and an
// overflow ends the run at the next loss.
constexpr float kLossScale = 256;

// Throws BackendError if the device does not support this precision.
void require_precision(int device, Precision precision) {
  if (gpu_has(device, precision)) return;
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  throw BackendError(
      fmt::format("GPU {} ({}, compute capability {}.{}) has no {}, which came with 8.0; choose fp32 or fp16",
                  device, p.name, p.major, p.minor, precision_name(precision)));
}

unsigned multiprocessors_of(const CudaOptions& options) {
  const unsigned all = device_attribute(cudaDevAttrMultiProcessorCount, options.device);
  return options.multiprocessors > 0 ? std::min(options.multiprocessors, all) : all;
}

// Kernels index a map's elements with 31 bits. A plan's maps are checked, but their channels may have been padded
// since. Throws BackendError.
void require_countable(const OpDesc& desc, int batch) {
  const auto* fused = std::get_if<NormalisedDesc>(&desc);
  const OpDesc product = fused == nullptr ? desc : product_of(*fused);
  std::size_t largest = std::max(in_shape(desc).size(), out_shape(desc).size());
  if (const auto* conv = std::get_if<ConvDesc>(&product)) largest = std::max(largest, conv_map(*conv).size());
  if (largest * static_cast<std::size_t>(batch) <= std::numeric_limits<std::int32_t>::max()) return;
  throw BackendError(
      fmt::format("{}: a map of {} elements an image and {} images has more than the 2^31 that kernels "
                  "count; choose a smaller --batch",
                  describe(desc), largest, batch));
}

// An op runs once when it is prepared: a capture must not be the first to launch a kernel or to call a library, since either may
// load code. Our own kernels are only loaded (LaunchQueue::loads) and touch no memory; library calls do run, on scratch memory.
// first_arguments: everything that `op` may be given in training, allocated from `memory`; maps are of type `element`.
OpArgs first_arguments(const Op& op, Element element, bool wants_dx, DeviceAllocator& memory) {
  const auto batch = static_cast<std::size_t>(op.batch());
  const auto map = [&](const Shape& shape) {
    return memory.take<std::byte>(element_bytes(element) * batch * shape.size());
  };
  OpArgs args;
  args.x = map(in_shape(op.desc()));
  args.y = map(out_shape(op.desc()));
  args.dy = map(out_shape(op.desc()));
  if (wants_dx) args.dx = map(in_shape(op.desc()));
  args.skip = args.x;
  int index = 0;
  for (const ParameterDesc& parameter : parameters(op.desc())) {
    const std::size_t count = op.stored_count(index++);
    auto* value = memory.take<float>(count);
    args.bind(parameter.role, value, is_trained(parameter.role) ? memory.take<float>(count) : nullptr);
  }
  args.cast_w = args.w;
  args.saved = memory.take<std::byte>(op.saved_bytes());
  args.workspace = memory.take<std::byte>(op.workspace_bytes());
  args.labels = memory.take<std::uint8_t>(batch);
  args.selected = memory.take<std::uint8_t>(batch);
  args.state = memory.take<StepState>(1);
  return args;
}

// Runs forward in both modes, and backward.
void run_first(Op& op, OpArgs args) {
  op.forward(args);
  op.backward(args);
  args.mode = Mode::inference;
  args.saved = nullptr;
  op.forward(args);
}

// While it exists, launches load kernels and run none.
struct Loading {
  explicit Loading(LaunchQueue& to) : queue(to) { queue.loads = true; }
  ~Loading() { queue.loads = false; }
  Loading(const Loading&) = delete;
  LaunchQueue& queue;
};

class CudaBackend final : public RankBackend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : RankBackend(usable_device(options)),
        ticket_(allocate((kTickets + kBarrierWords) * sizeof(unsigned), "the blocks' tickets")),
        context_{.stream = {stream()},
                 .multiprocessors = multiprocessors_of(options),
                 .precision = options.precision,
                 .element = element_of(options.precision),
                 .loss_scale = options.precision == Precision::fp16 ? kLossScale : 1,
                 .libraries = options.libraries,
                 .convolutions = OnFirstUse(
                     [library = ConvolutionOptions{stream(), options.deterministic, options.plan_cache}] {
                       return open_convolutions(library);
                     }),
                 .products = OnFirstUse([stream = stream()] { return open_products(stream); }),
                 .ticket = ticket_.as<unsigned>(),
                 .barrier = ticket_.as<unsigned>() + kTickets} {
    const std::vector<Optimizer> optimizers;
    const std::vector<Segment> segments;
    UpdateArgs update;
    update.optimizers = &optimizers;
    update.segments = &segments;
    update.clip_norm = 1;
    const Loading loading(context_.stream);
    launch_gather(context_, {});
    launch_gather_augmented(context_, {});
    launch_update(context_, update);
    launch_average(context_, {});
    launch_advance(context_, nullptr);
    if (context_.element != Element::fp32) launch_cast(context_, nullptr, nullptr, 0);
  }

  DeviceInfo info(Libraries libraries) const override {
    const bool all = libraries == Libraries::all;
    return describe_device(device(), all || context_.convolutions.is_open() ? convolutions_version() : "",
                           all || context_.products.is_open() ? products_version() : "");
  }

  bool fuses(const NormalisedDesc& desc, int batch, bool wants_dx) const override {
    return fuses_norm(context_, desc, batch, wants_dx);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) override {
    require_countable(desc, batch);
    require_own_statistics(part(), desc);
    const int uses = library_uses();
    std::unique_ptr<Op> op =
        std::visit([&](const auto& d) { return make_op(context_, d, batch, wants_dx); }, desc);
    DeviceAllocator end(ticket_.data());
    OpArgs args = first_arguments(*op, context_.element, wants_dx, end);
    Buffer scratch;
    if (library_uses() > uses) {
      const auto bytes = end.used();
      scratch = allocate(bytes, "an op's first run");
      DeviceAllocator memory(scratch.data());
      args = first_arguments(*op, context_.element, wants_dx, memory);
    }
    const Loading loading(context_.stream);
    run_first(*op, args);
    if (scratch.data() != nullptr) wait();
    return op;
  }

  Element element() const override { return context_.element; }
  int channel_multiple() const override { return context_.element == Element::fp32 ? 1 : kChannelMultiple; }
  float loss_scale() const override { return context_.loss_scale; }
  void cast(const float* from, void* to, std::size_t count) override {
    launch_cast(context_, from, to, count);
  }

  void gather(const GatherArgs& args) override { launch_gather(context_, args); }
  void update(const UpdateArgs& args) override { launch_update(context_, args); }
  void average(const AverageArgs& args) override { launch_average(context_, args); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return cuda::update_workspace_bytes(context_, matrices);
  }
  void advance(StepState* state) override { launch_advance(context_, state); }

 private:
  static int usable_device(const CudaOptions& options) {
    require_device(options.device);
    require_precision(options.device, options.precision);
    return options.device;
  }

  void join_ops(const RankPart& part) override { context_.part = part; }
  int library_uses() const { return context_.convolutions.uses() + context_.products.uses(); }

  Buffer ticket_;
  CudaContext context_;
};

}  // namespace

}  // namespace cuda

bool gpu_has(int device, Precision precision) {
  return capability_has(cuda::device_attribute(cudaDevAttrComputeCapabilityMajor, device), precision);
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  if (options.bits == Bits::portable) return cuda::make_portable_backend(options.device, options.precision);
  return std::make_unique<cuda::CudaBackend>(options);
}

}  // namespace trainer
