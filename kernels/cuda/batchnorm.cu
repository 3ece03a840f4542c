// Batch normalisation, with GELU behind it where the plan says so, in one kernel a direction. A block takes a
// slice of the channels and a share of the positions, a thread one channel: it adds up its share, the blocks
// of a slice wait for one another, each adds up what all have (in one order: the same bits in each), and goes
// over its share again. So blocks that share a slice run at the same time, at most one a multiprocessor. With
// u = g xh + b in front of GELU, g = gain, s = 1 / sqrt(var + epsilon), xh = (x - mean) s, m valid positions,
// and du the gradient of u:
//   dx = g s (du - sum(du) / m - xh sum(du xh) / m),  dg = sum(du xh),  db = sum(du)   (Ioffe and Szegedy
//   2015)
// Sums are taken in double: the variance is the difference of two of them.
#include <algorithm>
#include <cooperative_groups.h>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/map_element.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 512;
constexpr unsigned kMostBlocks = 4096;    // in inference
constexpr unsigned kSlice = 16;           // channels of a block, at most
constexpr std::size_t kLeastAThread = 8;  // positions, before others share the slice

struct NormShape {
  std::size_t elements = 0;   // of a batch
  std::size_t positions = 0;  // of an image
  unsigned channels = 1;
  unsigned width = 1;   // of a slice
  unsigned shares = 1;  // of the positions
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
  float* mean = nullptr;      // [c], with scale behind it
  float* scale = nullptr;     // [c], 1 / sqrt(var + epsilon)
  double* partial = nullptr;  // [2, blocks, width]
  const StepState* state = nullptr;
};

// Where a thread stands: its channel, and the positions first, first + stride ... that are its own.
struct Stand {
  unsigned channel, lane, row, rows, share;
  bool used;  // else there is no such channel
  std::size_t first, stride;
};

__device__ Stand stand_of(const NormShape& s) {
  const unsigned rows = kThreads / s.width;
  const unsigned lane = threadIdx.x % s.width;
  const unsigned row = threadIdx.x / s.width;
  const unsigned channel = blockIdx.x / s.shares * s.width + lane;
  const unsigned share = blockIdx.x % s.shares;
  return {channel,
          lane,
          row,
          rows,
          share,
          row < rows && channel < s.channels,
          std::size_t{share} * rows + row,
          std::size_t{s.shares} * rows};
}

// Makes `own` the sums over all rows of the block. All threads call it.
__device__ void sum_rows(const NormShape& s, const Stand& at, double (&own)[2]) {
  __shared__ double sums[2][kThreads];
  sums[0][threadIdx.x] = own[0];
  sums[1][threadIdx.x] = own[1];
  __syncthreads();
  if (at.row < 2) {
    double total = 0;
    for (unsigned r = 0; r < at.rows; ++r) total += sums[at.row][r * s.width + at.lane];
    sums[at.row][at.lane] = total;
  }
  __syncthreads();
  own[0] = sums[0][at.lane];
  own[1] = sums[1][at.lane];
  __syncthreads();
}

// Makes `own` the sums over all positions.
__device__ void sum_positions(const NormShape& s, const Stand& at, double* partial, double (&own)[2]) {
  sum_rows(s, at, own);
  if (s.shares == 1) return;
  const std::size_t half = std::size_t{gridDim.x} * s.width;
  const std::size_t slice = std::size_t{blockIdx.x - at.share} * s.width + at.lane;
  for (unsigned k = 0; k < 2; ++k) {
    if (at.row == 0) partial[k * half + slice + std::size_t{at.share} * s.width] = own[k];
    own[k] = 0;
  }
  cooperative_groups::this_grid().sync();
  for (unsigned b = at.row; b < s.shares && at.row < at.rows; b += at.rows) {
    for (unsigned k = 0; k < 2; ++k) own[k] += partial[k * half + slice + std::size_t{b} * s.width];
  }
  sum_rows(s, at, own);
}

template <typename T>
__device__ float gain_of(const Norm<T>& a, std::size_t c) {
  return a.gain == nullptr ? 1.0F : a.gain[c];
}

// Of channel c, from the sums of x and x^2 over m positions; the running statistics too.
template <typename T>
__device__ void write_statistics(const NormShape& s, const Norm<T>& a, unsigned c, double mean,
                                 double variance, double m) {
  const double unbiased = m > 1 ? variance * m / (m - 1) : variance;
  const double momentum = s.momentum;
  a.mean[c] = static_cast<float>(mean);
  a.scale[c] = static_cast<float>(1 / sqrt(variance + static_cast<double>(s.epsilon)));
  a.running_mean[c] = static_cast<float>((1 - momentum) * a.running_mean[c] + momentum * mean);
  a.running_variance[c] = static_cast<float>((1 - momentum) * a.running_variance[c] + momentum * unbiased);
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise(NormShape s, Norm<T> a) {
  const Stand at = stand_of(s);
  const std::size_t all = s.elements / s.channels;
  const std::size_t valid = a.state->valid * s.positions;
  const T* x = a.x + at.channel;
  double sums[2] = {};
#pragma unroll 4
  for (std::size_t p = at.used ? at.first : valid; p < valid; p += at.stride) {
    const auto value = static_cast<double>(static_cast<float>(x[p * s.channels]));
    sums[0] += value;
    sums[1] += value * value;
  }
  sum_positions(s, at, a.partial, sums);
  if (!at.used) return;
  const auto m = static_cast<double>(valid);
  const double mean = sums[0] / m;
  const double spread = sums[1] / m - mean * mean;
  const double variance = spread < 0 ? 0 : spread;
  if (at.share == 0 && at.row == 0) write_statistics(s, a, at.channel, mean, variance, m);
  const auto center = static_cast<float>(mean);
  const auto scale = static_cast<float>(1 / sqrt(variance + static_cast<double>(s.epsilon)));
  const float gain = gain_of(a, at.channel);
  const float offset = a.offset[at.channel];
  T* y = a.y + at.channel;
#pragma unroll 4
  for (std::size_t p = at.first; p < all; p += at.stride) {
    const float u = (static_cast<float>(x[p * s.channels]) - center) * scale * gain + offset;
    y[p * s.channels] = static_cast<T>(s.gelu ? gelu(u) : u);
  }
}

template <typename T>
__global__ void normalise_inference(NormShape s, Norm<T> a) {
  for (std::size_t i = grid_index(); i < s.elements; i += grid_stride()) {
    const std::size_t c = i % s.channels;
    const float scale = 1 / sqrtf(a.running_variance[c] + s.epsilon);
    const float u = (static_cast<float>(a.x[i]) - a.running_mean[c]) * scale * gain_of(a, c) + a.offset[c];
    a.y[i] = static_cast<T>(s.gelu ? gelu(u) : u);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise_backward(NormShape s, Norm<T> a) {
  const Stand at = stand_of(s);
  const std::size_t all = s.elements / s.channels;
  const std::size_t valid = a.state->valid * s.positions;
  const unsigned c = at.used ? at.channel : 0;
  const float mean = a.mean[c];
  const float scale = a.scale[c];
  const float gain = gain_of(a, c);
  const float offset = a.offset[c];
  const auto xh_at = [&](std::size_t i) { return (static_cast<float>(a.x[i]) - mean) * scale; };
  const auto du_at = [&](std::size_t i, float xh) {
    const auto dy = static_cast<float>(a.dy[i]);
    return s.gelu ? dy * gelu_derivative(gain * xh + offset) : dy;
  };
  double sums[2] = {};
#pragma unroll 4
  for (std::size_t p = at.used ? at.first : valid; p < valid; p += at.stride) {
    const std::size_t i = p * s.channels + c;
    const float xh = xh_at(i);
    const auto du = static_cast<double>(du_at(i, xh));
    sums[0] += du;
    sums[1] += du * static_cast<double>(xh);
  }
  sum_positions(s, at, a.partial, sums);
  if (!at.used) return;
  if (at.share == 0 && at.row == 0) {
    a.doffset[c] = static_cast<float>(sums[0]);
    if (a.dgain != nullptr) a.dgain[c] = static_cast<float>(sums[1]);
  }
  if (a.dx == nullptr) return;
  const auto mean_du = static_cast<float>(sums[0] / static_cast<double>(valid));
  const auto mean_du_xh = static_cast<float>(sums[1] / static_cast<double>(valid));
#pragma unroll 4
  for (std::size_t p = at.first; p < all; p += at.stride) {
    const std::size_t i = p * s.channels + c;
    const float xh = xh_at(i);
    const float dx = gain * scale * (du_at(i, xh) - (mean_du + xh * mean_du_xh));
    a.dx[i] = static_cast<T>(p < valid ? dx : 0.0F);
  }
}

NormShape shape_of(const CudaContext& context, const BatchNormDesc& desc, int batch) {
  NormShape s;
  s.elements = static_cast<std::size_t>(batch) * desc.in.size();
  s.positions = static_cast<std::size_t>(desc.in.h) * desc.in.w;
  s.channels = static_cast<unsigned>(desc.in.c);
  s.width = std::min(s.channels, kSlice);
  const unsigned slices = (s.channels + s.width - 1) / s.width;
  const std::size_t worth = s.elements / s.channels / (kThreads / s.width * kLeastAThread);
  const std::size_t room = context.multiprocessors / slices;
  s.shares = static_cast<unsigned>(std::clamp<std::size_t>(worth, 1, std::max<std::size_t>(room, 1)));
  s.epsilon = desc.epsilon;
  s.momentum = desc.momentum;
  s.gelu = desc.gelu;
  return s;
}

template <typename T>
class BatchNorm final : public Op {
 public:
  BatchNorm(const CudaContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        shape_(shape_of(context, desc, batch)),
        blocks_((shape_.channels + shape_.width - 1) / shape_.width * shape_.shares) {}

  std::size_t saved_bytes() const override { return 2 * sizeof(float) * shape_.channels; }
  std::size_t workspace_bytes() const override {
    return shape_.shares > 1 ? 2 * sizeof(double) * blocks_ * shape_.width : 0;
  }

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

  LaunchShape launch_shape() const { return {blocks_, kThreads, shape_.shares > 1}; }

  void run_forward(const OpArgs& args) override {
    if (args.mode == Mode::training) {
      launch(context_.stream, launch_shape(), "normalise", normalise<T>, shape_, arguments(args));
    } else {
      launch(context_.stream, cover(shape_.elements, kThreads, kMostBlocks), "normalise_inference",
             normalise_inference<T>, shape_, arguments(args));
    }
  }

  void run_backward(const OpArgs& args) override {
    launch(context_.stream, launch_shape(), "normalise_backward", normalise_backward<T>, shape_,
           arguments(args));
  }

  const CudaContext& context_;
  NormShape shape_;
  unsigned blocks_;
};

}  // namespace

std::unique_ptr<Op> make_batchnorm(const CudaContext& context, const BatchNormDesc& desc, int batch) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<BatchNorm<typename decltype(of)::Type>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
