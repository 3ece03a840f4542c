// Batch normalisation in two kernels a direction: sums over the batch with what follows from them for each
// channel, then the map. With g = gain, s = 1 / sqrt(var + epsilon), xh = (x - mean) s and m valid positions
// (Ioffe and Szegedy 2015):
//   dx = g s (dy - sum(dy) / m - xh sum(dy xh) / m),  dgain = sum(dy xh),  doffset = sum(dy)
// Sums are taken in double: the variance is the difference of two of them.
#include "kernels/cuda/channel_sums.cuh"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/map_element.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 4096;

struct NormShape {
  std::size_t elements = 0;   // of a batch
  std::size_t positions = 0;  // of an image
  int channels = 1;
  float epsilon = 0;
  float momentum = 0;
};

template <typename T>
struct Norm {
  const T* x = nullptr;
  T* y = nullptr;
  const T* dy = nullptr;
  T* dx = nullptr;
  const float* gain = nullptr;
  const float* offset = nullptr;
  float* dgain = nullptr;
  float* doffset = nullptr;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* mean = nullptr;   // [c], with scale behind it
  float* scale = nullptr;  // [c], 1 / sqrt(var + epsilon)
  double* partial = nullptr;
  const StepState* state = nullptr;
};

template <typename T>
__device__ ChannelSums valid_sums(const NormShape& s, const Norm<T>& a) {
  return {a.state->valid * s.positions, s.channels};
}

// Mean, variance and running statistics of channel c, from the means of x and x^2 over m values.
template <typename T>
__device__ void finish_channel(const NormShape& s, const Norm<T>& a, unsigned c, double mean, double square,
                               double m) {
  const double spread = square - mean * mean;
  const double variance = spread < 0 ? 0 : spread;
  const double unbiased = m > 1 ? variance * m / (m - 1) : variance;
  const double momentum = s.momentum;
  a.mean[c] = static_cast<float>(mean);
  a.scale[c] = static_cast<float>(1 / sqrt(variance + static_cast<double>(s.epsilon)));
  a.running_mean[c] = static_cast<float>((1 - momentum) * a.running_mean[c] + momentum * mean);
  a.running_variance[c] = static_cast<float>((1 - momentum) * a.running_variance[c] + momentum * unbiased);
}

template <typename T>
__global__ void batch_statistics(NormShape s, Norm<T> a, unsigned* ticket) {
  const ChannelSums sums = valid_sums(s, a);
  const auto channels = static_cast<std::size_t>(s.channels);
  write_partial_sums<double, 2>(sums, a.partial, [&](std::size_t p, unsigned c, int k) {
    const auto x = static_cast<double>(static_cast<float>(a.x[p * channels + c]));
    return k == 0 ? x : x * x;
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  __shared__ double mean_of[kSumThreads];
  const auto m = static_cast<double>(sums.positions);
  // The same thread stores both sums of a channel, the mean first.
  finish_sums<double, 2>(sums, a.partial, [&](unsigned c, int k, double sum) {
    if (k == 0) {
      mean_of[threadIdx.x] = sum / m;
    } else {
      finish_channel(s, a, c, mean_of[threadIdx.x], sum / m, m);
    }
  });
}

template <typename T>
__global__ void normalise(NormShape s, Norm<T> a, bool with_running) {
  const auto channels = static_cast<std::size_t>(s.channels);
  for (std::size_t i = grid_index(); i < s.elements; i += grid_stride()) {
    const std::size_t c = i % channels;
    const float mean = with_running ? a.running_mean[c] : a.mean[c];
    const float scale = with_running ? 1 / sqrtf(a.running_variance[c] + s.epsilon) : a.scale[c];
    a.y[i] = static_cast<T>((static_cast<float>(a.x[i]) - mean) * scale * a.gain[c] + a.offset[c]);
  }
}

template <typename T>
__global__ void gradient_sums(NormShape s, Norm<T> a, unsigned* ticket) {
  const ChannelSums sums = valid_sums(s, a);
  const auto channels = static_cast<std::size_t>(s.channels);
  write_partial_sums<double, 2>(sums, a.partial, [&](std::size_t p, unsigned c, int k) {
    const auto dy = static_cast<double>(static_cast<float>(a.dy[p * channels + c]));
    const auto x = static_cast<double>(static_cast<float>(a.x[p * channels + c]));
    return k == 0 ? dy : dy * (x - a.mean[c]) * a.scale[c];
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums<double, 2>(sums, a.partial, [&](unsigned c, int k, double sum) {
    (k == 0 ? a.doffset : a.dgain)[c] = static_cast<float>(sum);
  });
}

template <typename T>
__global__ void normalise_backward(NormShape s, Norm<T> a) {
  const auto channels = static_cast<std::size_t>(s.channels);
  const std::size_t rows = a.state->valid * s.positions;
  const float inverse_count = 1 / static_cast<float>(rows);
  for (std::size_t i = grid_index(); i < s.elements; i += grid_stride()) {
    const std::size_t c = i % channels;
    const float xh = (static_cast<float>(a.x[i]) - a.mean[c]) * a.scale[c];
    const float dx = static_cast<float>(a.dy[i]) - (a.doffset[c] + xh * a.dgain[c]) * inverse_count;
    a.dx[i] = static_cast<T>(i < rows * channels ? a.gain[c] * a.scale[c] * dx : 0.0F);
  }
}

template <typename T>
class BatchNorm final : public Op {
 public:
  BatchNorm(const CudaContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        shape_{static_cast<std::size_t>(batch) * desc.in.size(),
               static_cast<std::size_t>(desc.in.h) * desc.in.w, desc.in.c, desc.epsilon, desc.momentum} {}

  std::size_t saved_bytes() const override {
    return 2 * sizeof(float) * static_cast<std::size_t>(shape_.channels);
  }
  std::size_t workspace_bytes() const override { return partial_sums_bytes<double>(2, shape_.channels); }

 private:
  Norm<T> arguments(const OpArgs& args) const {
    Norm<T> a;
    a.x = static_cast<const T*>(args.x);
    a.y = static_cast<T*>(args.y);
    a.dy = static_cast<const T*>(args.dy);
    a.dx = static_cast<T*>(args.dx);
    a.gain = args.w;
    a.offset = args.b;
    a.dgain = args.dw;
    a.doffset = args.db;
    a.running_mean = args.running_mean;
    a.running_variance = args.running_variance;
    a.mean = reinterpret_cast<float*>(args.saved);
    a.scale = a.mean == nullptr ? nullptr : a.mean + shape_.channels;
    a.partial = reinterpret_cast<double*>(args.workspace);
    a.state = args.state;
    return a;
  }

  LaunchShape sums_shape() const {
    return channel_sums_shape({shape_.elements / static_cast<std::size_t>(shape_.channels), shape_.channels});
  }

  void run_forward(const OpArgs& args) override {
    const Norm<T> a = arguments(args);
    const bool training = args.mode == Mode::training;
    if (training) {
      launch(context_.stream, sums_shape(), "batch_statistics", batch_statistics<T>, shape_, a,
             context_.ticket);
    }
    launch(context_.stream, cover(shape_.elements, kThreads, kMostBlocks), "normalise", normalise<T>, shape_,
           a, !training);
  }

  void run_backward(const OpArgs& args) override {
    const Norm<T> a = arguments(args);
    launch(context_.stream, sums_shape(), "gradient_sums", gradient_sums<T>, shape_, a, context_.ticket);
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(shape_.elements, kThreads, kMostBlocks), "normalise_backward",
           normalise_backward<T>, shape_, a);
  }

  const CudaContext& context_;
  NormShape shape_;
};

}  // namespace

std::unique_ptr<Op> make_batchnorm(const CudaContext& context, const BatchNormDesc& desc, int batch) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<BatchNorm<typename decltype(of)::Type>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
