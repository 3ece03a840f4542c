// Batch normalisation, with GELU behind it where the plan says so, in two kernels a direction: sums over the
// batch with what follows from them for each channel, then the map. With u = g xh + b in front of GELU, g =
// gain, s = 1 / sqrt(var + epsilon), xh = (x - mean) s, m valid positions, and du the gradient of u:
//   dx = g s (du - sum(du) / m - xh sum(du xh) / m),  dg = sum(du xh),  db = sum(du)   (Ioffe and Szegedy
//   2015)
// Sums are taken in double: the variance is the difference of two of them.
#include "kernels/cuda/channel_sums.cuh"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/map_element.hpp"
#include "kernels/math/gelu.hpp"

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
  bool gelu = false;
};

template <typename T>
struct Norm {
  const T* x = nullptr;
  T* y = nullptr;
  const T* dy = nullptr;
  T* dx = nullptr;
  const float* gain = nullptr;  // null: 1
  const float* offset = nullptr;
  float* dgain = nullptr;  // may be null
  float* doffset = nullptr;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* mean = nullptr;   // [c], with scale behind it
  float* scale = nullptr;  // [c], 1 / sqrt(var + epsilon)
  float* sums = nullptr;   // [2, c] in backward, of du and of du xh
  double* partial = nullptr;
  const StepState* state = nullptr;
};

template <typename T>
__device__ float gain_of(const Norm<T>& a, std::size_t c) {
  return a.gain == nullptr ? 1.0F : a.gain[c];
}

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
    const float u = (static_cast<float>(a.x[i]) - mean) * scale * gain_of(a, c) + a.offset[c];
    a.y[i] = static_cast<T>(s.gelu ? gelu(u) : u);
  }
}

// Of element i, of channel c: xh, and the gradient of u.
struct Place {
  float xh, du;
};

template <typename T>
__device__ Place place_at(const NormShape& s, const Norm<T>& a, std::size_t i, std::size_t c) {
  const float xh = (static_cast<float>(a.x[i]) - a.mean[c]) * a.scale[c];
  const auto dy = static_cast<float>(a.dy[i]);
  return {xh, s.gelu ? dy * gelu_derivative(gain_of(a, c) * xh + a.offset[c]) : dy};
}

template <typename T>
__global__ void gradient_sums(NormShape s, Norm<T> a, unsigned* ticket) {
  const ChannelSums sums = valid_sums(s, a);
  const auto channels = static_cast<std::size_t>(s.channels);
  write_partial_sums<double, 2>(sums, a.partial, [&](std::size_t p, unsigned c, int k) {
    const Place place = place_at(s, a, p * channels + c, c);
    return k == 0 ? double{place.du} : double{place.du} * double{place.xh};
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums<double, 2>(sums, a.partial, [&](unsigned c, int k, double sum) {
    a.sums[static_cast<std::size_t>(k) * channels + c] = static_cast<float>(sum);
    float* gradient = k == 0 ? a.doffset : a.dgain;
    if (gradient != nullptr) gradient[c] = static_cast<float>(sum);
  });
}

template <typename T>
__global__ void normalise_backward(NormShape s, Norm<T> a) {
  const auto channels = static_cast<std::size_t>(s.channels);
  const std::size_t rows = a.state->valid * s.positions;
  const float inverse_count = 1 / static_cast<float>(rows);
  for (std::size_t i = grid_index(); i < s.elements; i += grid_stride()) {
    const std::size_t c = i % channels;
    const Place place = place_at(s, a, i, c);
    const float dx = place.du - (a.sums[c] + place.xh * a.sums[channels + c]) * inverse_count;
    a.dx[i] = static_cast<T>(i < rows * channels ? gain_of(a, c) * a.scale[c] * dx : 0.0F);
  }
}

template <typename T>
class BatchNorm final : public Op {
 public:
  BatchNorm(const CudaContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        shape_{static_cast<std::size_t>(batch) * desc.in.size(),
               static_cast<std::size_t>(desc.in.h) * desc.in.w,
               desc.in.c,
               desc.epsilon,
               desc.momentum,
               desc.gelu} {}

  std::size_t saved_bytes() const override {
    return 2 * sizeof(float) * static_cast<std::size_t>(shape_.channels);
  }
  std::size_t workspace_bytes() const override { return partial_bytes() + saved_bytes(); }

 private:
  std::size_t partial_bytes() const { return partial_sums_bytes<double>(2, shape_.channels); }

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
    a.sums = reinterpret_cast<float*>(args.workspace + partial_bytes());
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
