// A first layer on grey images and the batch normalisation after it, in one kernel for each direction. Forward opens
// the step and computes convolution, pool and the sums over the batch; the blocks wait for one another; normalisation
// and GELU follow. Backward computes the sums of normalisation's gradient; the blocks wait for one another; then the
// gradient of each output of the pool goes straight into the k x k terms of dw at its window's argmax.
// one_channel_conv.cu has the layer without a normalisation.
#include <algorithm>

#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/cuda/first_layer/picture.cuh"

namespace trainer::cuda {

namespace {

constexpr int kMostFirstChannels = 128;
constexpr unsigned kFirstNormThreads = 512;
constexpr unsigned kPictureMemory = 2 * kMostPixels;  // floats of shared memory: images, then sums

// A block takes `run` of the batch's images, `together` of them in shared memory at a time; a thread takes one channel
// of every few windows.
struct FirstNorm {
  FirstConv conv;
  unsigned run = 1;
  unsigned together = 1;
  bool gelu = false;

  unsigned blocks() const { return (conv.batch + run - 1) / run; }
};

struct Output {
  float z, dy;
};

struct Window {
  Output output;
  int argmax;
  bool selected;  // its image
};

template <typename T>
struct FirstNormArgs : FirstLayerArgs<T> {
  using FirstLayerArgs<T>::FirstLayerArgs;
  NormArgs norm;
  T* z = nullptr;         // the pool's output, of y's shape
  float* taps = nullptr;  // [blocks, channels, k * k]

  __device__ Output output(std::size_t i) const {
    return {static_cast<float>(z[i]), static_cast<float>(this->dy[i])};
  }
};

template <typename T, int kKernel, int kPool>
__global__ void __launch_bounds__(kFirstNormThreads, 1) first_norm(FirstNorm s, FirstNormArgs<T> a) {
  __shared__ float pictures[kPictureMemory];
  const FirstConv& conv = s.conv;
  const SliceThread at = slice_thread<kFirstNormThreads>(conv.channels, gridDim.x);
  const unsigned c = at.lane;
  float filter[kKernel * kKernel];
  load_filter<kKernel>(a.w, c, filter);
  const float beta = a.norm.beta[c];
  const unsigned outputs = conv.outputs();
  const unsigned valid =
      a.gathers ? valid_rows(a.gather.batching, a.gather.state->step) : a.norm.state->valid;
  const unsigned begin = blockIdx.x * s.run;
  const unsigned end = min(begin + s.run, conv.batch);
  Centring to{};
  if (!a.training) to = running_centring(a.norm, c);
  double sums[2] = {};
  for (unsigned first = begin; first < end; first += s.together) {
    const unsigned count = min(s.together, end - first);
    __syncthreads();
    open_pictures<kFirstNormThreads>(conv, a, first, count, true, pictures);
    __syncthreads();
    for (unsigned p = at.row < at.rows ? at.row : count * outputs; p < count * outputs; p += at.rows) {
      float values[kPool * kPool];
      window_values<kKernel, kPool>(window_corner(conv, pictures, p), conv.pw, filter, values);
      const Largest best = largest_of(values);
      const std::size_t i = (std::size_t{first} * outputs + p) * conv.channels + c;
      if (!a.training) {
        a.y[i] = static_cast<T>(normalised(best.value, to, beta, s.gelu));
        continue;
      }
      a.z[i] = static_cast<T>(best.value);
      a.argmax[i] = static_cast<std::uint8_t>(best.place);
      if (first + conv.by_outputs.quotient(p) >= valid) continue;
      const auto value = static_cast<double>(best.value);
      sums[0] += value;
      sums[1] += value * value;
    }
  }
  if (!a.training) return;
  sum_slice<kFirstNormThreads>(at, a.norm.partial, a.norm.barrier, sums);
  if (at.row >= at.rows) return;
  to = batch_centring(a.norm, c, sums, static_cast<double>(valid * outputs), blockIdx.x == 0 && at.row == 0);
  const auto load = [&](unsigned p) { return static_cast<float>(a.z[std::size_t{p} * conv.channels + c]); };
  const auto use = [&](unsigned p, float z) {
    a.y[std::size_t{p} * conv.channels + c] = static_cast<T>(normalised(z, to, beta, s.gelu));
  };
  for_strided<8>(begin * outputs + at.row, end * outputs, at.rows, load, use);  // loads in a row: 8
}

// Adds up every thread's k x k sums over its windows to dw: within a block through shared memory, then across blocks in
// the last one to arrive.
template <unsigned kTaps>
static __device__ void add_up_taps(const SliceThread& at, const float (&own)[kTaps], float* memory,
                                   float* partial, float* dw, unsigned* ticket) {
  constexpr unsigned kAtOnce = kPictureMemory / kFirstNormThreads;
  const unsigned count = at.width * kTaps;
#pragma unroll
  for (unsigned first = 0; first < kTaps; first += kAtOnce) {
    __syncthreads();
#pragma unroll
    for (unsigned k = first; k < first + kAtOnce && k < kTaps; ++k)
      memory[(k - first) * kFirstNormThreads + threadIdx.x] = own[k];
    __syncthreads();
    const unsigned taps = kTaps - first < kAtOnce ? kTaps - first : kAtOnce;
    for (unsigned k = at.row < at.rows ? at.row : taps; k < taps; k += at.rows) {
      float sum = 0;
      for (unsigned r = 0; r < at.rows; ++r) sum += memory[k * kFirstNormThreads + r * at.width + at.lane];
      partial[blockIdx.x * count + at.lane * kTaps + first + k] = sum;
    }
  }
  if (!is_last_block(ticket, gridDim.x)) return;
  for (unsigned start = 0; start < count; start += kFirstNormThreads) {
    const unsigned width = min(count - start, kFirstNormThreads);
    const unsigned rows = kFirstNormThreads / width;
    const unsigned i = threadIdx.x % width;
    const unsigned row = threadIdx.x / width;
    float sum = 0;
    const auto load = [&](unsigned b) { return __ldcg(partial + b * count + start + i); };
    const auto use = [&](unsigned, float value) { sum += value; };
    for_strided<8>(row < rows ? row : gridDim.x, gridDim.x, rows, load, use);  // loads in a row: 8
    memory[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < width) {
      float total = 0;
      for (unsigned r = 0; r < rows; ++r) total += memory[r * width + i];
      dw[start + i] = total;
    }
    __syncthreads();
  }
}

template <typename T, int kKernel, int kPool>
__global__ void __launch_bounds__(kFirstNormThreads, 1)
    first_norm_backward(FirstNorm s, FirstNormArgs<T> a, unsigned* ticket) {
  __shared__ float pictures[kPictureMemory];
  const FirstConv& conv = s.conv;
  const SliceThread at = slice_thread<kFirstNormThreads>(conv.channels, gridDim.x);
  const unsigned c = at.lane;
  NormGradient norm{{a.norm.mean[c], a.norm.inv_std[c]}, a.norm.beta[c], s.gelu};
  const unsigned outputs = conv.outputs();
  const unsigned valid = a.norm.state->valid;
  const unsigned begin = min(blockIdx.x * s.run, valid);
  const unsigned end = min(begin + s.run, valid);
  double sums[2] = {};
  const auto load = [&](unsigned p) { return a.output(std::size_t{p} * conv.channels + c); };
  const auto sum_up = [&](unsigned, const Output& output) {
    const float normal = norm.xh(output.z);
    const auto du = static_cast<double>(norm.du(output.dy, normal));
    sums[0] += du;
    sums[1] += du * static_cast<double>(normal);
  };
  const unsigned own = at.row < at.rows ? begin * outputs + at.row : end * outputs;
  for_strided<4>(own, end * outputs, at.rows, load, sum_up);  // loads in a row: 8
  sum_slice<kFirstNormThreads>(at, a.norm.partial, a.norm.barrier, sums);
  if (blockIdx.x == 0 && at.row == 0) a.db[c] = static_cast<float>(sums[0]);
  norm.take_means(sums, static_cast<double>(valid * outputs));
  float taps[kKernel * kKernel] = {};
  for (unsigned first = begin; first < end; first += s.together) {
    const unsigned count = min(s.together, end - first);
    __syncthreads();
    load_pictures<kFirstNormThreads>(
        conv, count, a.x + std::size_t{first} * static_cast<unsigned>(conv.h * conv.w), pictures);
    __syncthreads();
    const auto load_window = [&](unsigned p) {
      const std::size_t i = (std::size_t{first} * outputs + p) * conv.channels + c;
      const bool selected = a.selected == nullptr || a.selected[first + conv.by_outputs.quotient(p)] != 0;
      return Window{a.output(i), a.argmax[i], selected};
    };
    const auto add_taps = [&](unsigned p, const Window& window) {
      if (!window.selected) return;
      const float dz = norm.dz(window.output.dy, window.output.z);
      const float* pixel =
          window_corner(conv, pictures, p) + window.argmax / kPool * conv.pw + window.argmax % kPool;
#pragma unroll
      for (int r = 0; r < kKernel; ++r) {
#pragma unroll
        for (int k = 0; k < kKernel; ++k) taps[r * kKernel + k] += dz * pixel[r * conv.pw + k];
      }
    };
    const unsigned windows = count * outputs;
    for_strided<4>(at.row < at.rows ? at.row : windows, windows, at.rows,  // loads in a row: 12
                   load_window, add_taps);
  }
  add_up_taps<kKernel * kKernel>(at, taps, pictures, a.taps, a.dw, ticket);
}

template <typename T>
class FirstNormOp final : public Op {
 public:
  FirstNormOp(const CudaContext& context, const NormalisedDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(std::get<ConvDesc>(desc.product)),
        norm_(desc.norm),
        shape_(shape_of(context, conv_, norm_.gelu, batch)),
        outputs_(std::size_t{shape_.conv.batch} * norm_.in.size()) {}

  bool gathers() const override { return true; }
  std::size_t saved_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { take_saved(memory); });
  }
  std::size_t workspace_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { take_scratch(memory); });
  }

 private:
  // A block takes a range of the batch's images, as many at a time as fit into shared memory.
  static FirstNorm shape_of(const CudaContext& context, const ConvDesc& conv, bool gelu, int batch) {
    FirstNorm s{.conv = FirstConv(conv, batch), .gelu = gelu};
    s.run = (s.conv.batch + context.multiprocessors - 1) / context.multiprocessors;
    const unsigned most = std::min(kPictureMemory / s.conv.pixels(), kMostTogether);
    const unsigned turns = (s.run + most - 1) / most;
    s.together = (s.run + turns - 1) / turns;
    return s;
  }

  struct Saved {
    std::byte* statistics;
    T* z;
    std::uint8_t* argmax;
  };
  Saved take_saved(DeviceAllocator& memory) const {
    auto* statistics = memory.take<std::byte>(saved_statistics_bytes(norm_.in.c));
    T* z = memory.take<T>(outputs_);
    return {statistics, z, memory.take<std::uint8_t>(outputs_)};
  }
  struct Scratch {
    double* partial;
    float* taps;
  };
  Scratch take_scratch(DeviceAllocator& memory) const {
    const std::size_t sums = slice_sums_bytes(shape_.blocks(), shape_.conv.channels) / sizeof(double);
    auto* partial = memory.take<double>(sums);
    const auto taps = static_cast<unsigned>(conv_.kernel * conv_.kernel);
    return {partial, memory.take<float>(std::size_t{shape_.blocks()} * shape_.conv.channels * taps)};
  }

  FirstNormArgs<T> arguments(const OpArgs& args) const {
    FirstNormArgs<T> a(args);
    DeviceAllocator scratch(args.workspace);
    const Scratch own = take_scratch(scratch);
    a.taps = own.taps;
    DeviceAllocator memory(a.training ? args.saved : nullptr);
    const Saved saved = take_saved(memory);
    a.z = saved.z;
    a.argmax = saved.argmax;
    a.norm = norm_args(norm_, args, saved.statistics, own.partial, context_.barrier);
    return a;
  }

  void run_forward(const OpArgs& args) override {
    const FirstNormArgs<T> a = arguments(args);
    visit_window(conv_, [&](auto kernel, auto pool) {
      launch(context_.stream, {shape_.blocks(), kFirstNormThreads, a.training}, "first_norm",
             first_norm<T, kernel(), pool()>, shape_, a);
    });
  }
  void run_backward(const OpArgs& args) override {
    visit_window(conv_, [&](auto kernel, auto pool) {
      launch(context_.stream, {shape_.blocks(), kFirstNormThreads, true}, "first_norm_backward",
             first_norm_backward<T, kernel(), pool()>, shape_, arguments(args), context_.ticket);
    });
  }

  const CudaContext& context_;
  ConvDesc conv_;
  BatchNormDesc norm_;
  FirstNorm shape_;
  std::size_t outputs_;
};

}  // namespace

bool is_first_norm(const NormalisedDesc& desc, bool wants_dx) {
  const auto* conv = std::get_if<ConvDesc>(&desc.product);
  return conv != nullptr && is_one_channel_conv(*conv, wants_dx) && conv->out <= kMostFirstChannels;
}

std::unique_ptr<Op> make_first_norm(const CudaContext& context, const NormalisedDesc& desc, int batch) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<FirstNormOp<T>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
