// The first layer of a network on grey images: convolution of one channel + bias + max pool + ReLU in one kernel, and
// the gradients of its filters in another. With one input channel tensor cores do not help, and the library would write
// the whole map, four times the output of a 2x2 pool.
//   forward   It opens the step itself, since a separate gather would cost one more launch. A block takes an image and
//             a band of output rows: the image lies in shared memory, a thread keeps its channel's filter in registers
//             and computes all values of a pooling window from the same pixels.
//   backward  A block takes some channels and some images. Only a window's argmax has a gradient, so an output adds to
//             k x k terms. The last of the blocks with the same channels adds up their sums (last_block.cuh).
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/last_block.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/first_layer/picture.cuh"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kWarp = 32;
constexpr unsigned kWarps = kThreads / kWarp;
constexpr unsigned kBlocksAProcessor = 4;  // at least so many run on a multiprocessor at once
constexpr unsigned kBackwardBlocks = 2;    // the same in backward
constexpr unsigned kBands = 2;             // bands of output rows, one for each block
constexpr unsigned kChannels = 8;          // channels of a block in backward

template <typename T>
struct FirstConvArgs : FirstLayerArgs<T> {
  using FirstLayerArgs<T>::FirstLayerArgs;
  float* partial = nullptr;  // backward's: [channel groups, parts, kChannels, k * k + 1]
};

template <typename T, int kKernel, int kPool>
__global__ void __launch_bounds__(kThreads, kBlocksAProcessor) first_conv(FirstConv s, FirstConvArgs<T> a) {
  __shared__ float picture[kMostPixels];
  const unsigned image = blockIdx.x / kBands;
  open_pictures<kThreads>(s, a, image, 1, blockIdx.x % kBands == 0, picture);
  __syncthreads();
  const unsigned c = threadIdx.x % s.channels;
  const unsigned groups = kThreads / s.channels;
  const unsigned group = threadIdx.x / s.channels;
  if (group >= groups) return;
  float filter[kKernel * kKernel];
  load_filter<kKernel>(a.w, c, filter);
  const float bias = a.b == nullptr ? 0.0F : a.b[c];
  const unsigned outputs = s.outputs();
  const unsigned band = (outputs + kBands - 1) / kBands;
  const unsigned begin = blockIdx.x % kBands * band;
  const unsigned end = begin + band < outputs ? begin + band : outputs;
  for (unsigned p = begin + group; p < end; p += groups) {
    float values[kPool * kPool];
    window_values<kKernel, kPool>(window_corner(s, picture, p), s.pw, filter, values);
    const Largest best = largest_of(values);
    const std::size_t at = (std::size_t{image} * outputs + p) * s.channels + c;
    a.y[at] = static_cast<T>(s.relu ? relu(best.value + bias) : best.value + bias);
    if (a.argmax != nullptr) a.argmax[at] = static_cast<std::uint8_t>(best.place);
  }
}

struct WindowGradient {
  float dy;
  int argmax;
};

// Adds the gradients from `count` images, beginning with the batch's `first`, to `sums`: k x k filter taps, then the
// bias.
template <typename T, int kKernel, int kPool>
__device__ void add_pictures(const FirstConv& s, const FirstConvArgs<T>& a, const float* pictures,
                             unsigned first, unsigned count, unsigned c,
                             float (&sums)[kKernel * kKernel + 1]) {
  const auto load = [&](unsigned p) {
    const std::size_t at = (std::size_t{first} * s.outputs() + p) * s.channels + c;
    return WindowGradient{through_relu(s.relu, a.y, a.dy, at), kPool > 1 ? a.argmax[at] : 0};
  };
  const auto use = [&](unsigned p, const WindowGradient& d) {
    const float* pixel = window_corner(s, pictures, p) + d.argmax / kPool * s.pw + d.argmax % kPool;
#pragma unroll
    for (int r = 0; r < kKernel; ++r) {
#pragma unroll
      for (int k = 0; k < kKernel; ++k) sums[r * kKernel + k] += d.dy * pixel[r * s.pw + k];
    }
    sums[kKernel * kKernel] += d.dy;
  };
  const unsigned windows = count * s.outputs();
  for_strided<4>(threadIdx.x / kChannels, windows, kThreads / kChannels, load, use);  // loads in a row: 8
}

template <typename T, int kKernel, int kPool>
__global__ void __launch_bounds__(kThreads, kBackwardBlocks)
    first_conv_backward(FirstConv s, FirstConvArgs<T> a, unsigned parts, unsigned* tickets) {
  constexpr unsigned kTerms = kKernel * kKernel + 1;
  __shared__ float pictures[kMostPixels];
  __shared__ float of_warp[kWarps][kChannels][kTerms];
  const unsigned group = blockIdx.x / parts;
  const unsigned part = blockIdx.x % parts;
  const unsigned lane = threadIdx.x % kChannels;
  const unsigned c = group * kChannels + lane;
  const unsigned run = (s.batch + parts - 1) / parts;
  const unsigned end = min((part + 1) * run, s.batch);
  const unsigned together = min(kMostPixels / s.pixels(), kMostTogether);
  float sums[kTerms] = {};
  for (unsigned first = part * run; first < end; first += together) {
    const unsigned count = min(together, end - first);
    __syncthreads();
    load_pictures<kThreads>(s, count, a.x + std::size_t{first} * static_cast<unsigned>(s.h * s.w), pictures);
    __syncthreads();
    if (c < s.channels) add_pictures<T, kKernel, kPool>(s, a, pictures, first, count, c, sums);
  }
#pragma unroll
  for (unsigned k = 0; k < kTerms; ++k) {
    float sum = sums[k];
    for (unsigned step = kChannels; step < kWarp; step *= 2) sum += __shfl_xor_sync(~0U, sum, step);
    if (threadIdx.x % kWarp < kChannels) of_warp[threadIdx.x / kWarp][lane][k] = sum;
  }
  __syncthreads();
  float* own = a.partial + std::size_t{blockIdx.x} * (kChannels * kTerms);
  const float* all = a.partial + std::size_t{group} * parts * (kChannels * kTerms);
  for (unsigned i = threadIdx.x; i < kChannels * kTerms; i += kThreads) {
    float sum = 0;
    for (unsigned w = 0; w < kWarps; ++w) sum += of_warp[w][i / kTerms][i % kTerms];
    own[i] = sum;
  }
  if (!is_last_block(tickets + group, parts)) return;
  for (unsigned i = threadIdx.x; i < kChannels * kTerms; i += kThreads) {
    const unsigned channel = group * kChannels + i / kTerms;
    if (channel >= s.channels) continue;
    float sum = 0;
    const auto load = [&](unsigned b) { return __ldcg(all + std::size_t{b} * (kChannels * kTerms) + i); };
    const auto use = [&](unsigned, float value) { sum += value; };
    for_strided<8>(0U, parts, 1U, load, use);  // loads in a row: 8
    const unsigned k = i % kTerms;
    if (k < kTerms - 1) a.dw[channel * (kTerms - 1) + k] = sum;
    if (k == kTerms - 1 && a.db != nullptr) a.db[channel] = sum;
  }
}

template <typename T>
class OneChannelConv final : public Op {
 public:
  OneChannelConv(const CudaContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        pooled_(desc.pool.size > 1),
        shape_(desc, batch),
        outputs_(static_cast<std::size_t>(batch) * out_shape(desc).size()),
        terms_(static_cast<std::size_t>(desc.kernel) * desc.kernel + 1),
        groups_((shape_.channels + kChannels - 1) / kChannels),
        parts_(parts_of(context, shape_.batch, groups_)) {}

  bool gathers() const override { return true; }
  std::size_t saved_bytes() const override { return pooled_ ? outputs_ : 0; }
  std::size_t workspace_bytes() const override {
    return sizeof(float) * groups_ * parts_ * kChannels * terms_;
  }

 private:
  // How many parts backward divides the images into: kBackwardBlocks blocks for each multiprocessor take equally many
  // images, and the last one may take fewer.
  static unsigned parts_of(const CudaContext& context, unsigned batch, unsigned groups) {
    const unsigned most = std::max(kBackwardBlocks * context.multiprocessors / groups, 1U);
    const unsigned run = (batch + most - 1) / most;
    return (batch + run - 1) / run;
  }

  FirstConvArgs<T> arguments(const OpArgs& args) const {
    FirstConvArgs<T> a(args);
    if (pooled_ && a.training) a.argmax = reinterpret_cast<std::uint8_t*>(args.saved);
    a.partial = reinterpret_cast<float*>(args.workspace);
    return a;
  }

  void run_forward(const OpArgs& args) override {
    visit_window(conv_, [&](auto kernel, auto pool) {
      launch(context_.stream, {shape_.batch * kBands, kThreads}, "first_conv",
             first_conv<T, kernel(), pool()>, shape_, arguments(args));
    });
  }

  void run_backward(const OpArgs& args) override {
    visit_window(conv_, [&](auto kernel, auto pool) {
      launch(context_.stream, {groups_ * parts_, kThreads}, "first_conv_backward",
             first_conv_backward<T, kernel(), pool()>, shape_, arguments(args), parts_, context_.ticket);
    });
  }

  const CudaContext& context_;
  ConvDesc conv_;
  bool pooled_;
  FirstConv shape_;
  std::size_t outputs_;
  std::size_t terms_;
  unsigned groups_, parts_;
};

}  // namespace

bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx) {
  const int pixels =
      (desc.in.h + desc.pad.top + desc.pad.bottom) * (desc.in.w + desc.pad.left + desc.pad.right);
  return !wants_dx && desc.in.c == 1 && desc.stride == 1 && desc.out <= static_cast<int>(kThreads) &&
         pixels <= static_cast<int>(kMostPixels) && has_window(desc);
}

std::unique_ptr<Op> make_one_channel_conv(const CudaContext& context, const ConvDesc& desc, int batch) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<OneChannelConv<T>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
