// Batch normalisation, with GELU behind it where the plan says so, in one kernel a direction. A block goes
// over its part of a slice twice, before and behind the sums (norm_sums.cuh). So blocks that share a slice
// run at the same time, at most one a multiprocessor. With u = g xh + b in front of GELU, g = gamma, s = 1 /
// sqrt(var + epsilon), xh = (x - mean) s, m valid positions, and du the gradient of u:
//   dx = g s (du - sum(du) / m - xh sum(du xh) / m),  dg = sum(du xh),  db = sum(du)   (Ioffe and Szegedy
//   2015)
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/grid.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/math/divider.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 512;
constexpr unsigned kMostBlocks = 4096;    // in inference
constexpr unsigned kSlice = 16;           // channels of a block, at most
constexpr std::size_t kLeastAThread = 8;  // positions, before others share the slice

struct NormShape {
  std::size_t elements = 0;  // of a batch
  unsigned positions = 1;    // of an image
  Divider by_positions;
  unsigned channels = 1;
  unsigned width = 1;  // of a slice
  unsigned parts = 1;  // of the positions
  bool gelu = false;
};

template <typename T>
struct Norm {
  const T* x = nullptr;
  T* y = nullptr;
  const T* dy = nullptr;
  T* dx = nullptr;
  const float* gamma = nullptr;  // null: 1
  const float* beta = nullptr;
  float* dgamma = nullptr;  // may be null
  float* dbeta = nullptr;
  BatchStatistics statistics;
  double* partial = nullptr;  // slice_sums_bytes()
  unsigned* barrier = nullptr;
  const StepState* state = nullptr;
  const std::uint8_t* kept = nullptr;  // null: all valid rows; the dy of others is 0
};

// A thread's channel, and the positions first, first + stride ... that are its own.
struct Stand {
  SliceThread at;
  unsigned channel;
  bool used;  // else there is no such channel
  unsigned first, stride;
};

__device__ Stand stand_of(const NormShape& s) {
  const SliceThread at = slice_thread<kThreads>(s.width, s.parts);
  const unsigned channel = blockIdx.x / s.parts * s.width + at.lane;
  return {at, channel, at.row < at.rows && channel < s.channels, at.part * at.rows + at.row,
          s.parts * at.rows};
}

template <typename T>
__device__ float gamma_of(const Norm<T>& a, std::size_t c) {
  return a.gamma == nullptr ? 1.0F : a.gamma[c];
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise(NormShape s, Norm<T> a) {
  const Stand own = stand_of(s);
  const auto all = static_cast<unsigned>(s.elements / s.channels);
  const unsigned valid = a.state->valid * s.positions;
  const T* x = a.x + own.channel;
  const auto load = [&](unsigned p) { return static_cast<float>(x[std::size_t{p} * s.channels]); };
  double sums[2] = {};
  const auto sum_up = [&](unsigned, float single) {
    const auto value = static_cast<double>(single);
    sums[0] += value;
    sums[1] += value * value;
  };
  for_strided<8>(own.used ? own.first : valid, valid, own.stride, load, sum_up);  // loads in a row: 6
  sum_slice<kThreads>(own.at, a.partial, a.barrier, sums);
  if (!own.used) return;
  const auto m = static_cast<double>(valid);
  const bool writes = own.at.part == 0 && own.at.row == 0;
  const Centring to = batch_centring(a.statistics, own.channel, sums, m, writes);
  const float gamma = gamma_of(a, own.channel);
  const float beta = a.beta[own.channel];
  T* y = a.y + own.channel;
  const auto use = [&](unsigned p, float value) {
    const float u = (value - to.mean) * to.inv_std * gamma + beta;
    y[std::size_t{p} * s.channels] = static_cast<T>(s.gelu ? gelu(u) : u);
  };
  for_strided<8>(own.first, all, own.stride, load, use);  // loads in a row: 8
}

template <typename T>
__global__ void normalise_inference(NormShape s, Norm<T> a) {
  for (std::size_t i = grid_index(); i < s.elements; i += grid_stride()) {
    const std::size_t c = i % s.channels;
    const Centring to = running_centring(a.statistics, static_cast<unsigned>(c));
    const float u = (static_cast<float>(a.x[i]) - to.mean) * to.inv_std * gamma_of(a, c) + a.beta[c];
    a.y[i] = static_cast<T>(s.gelu ? gelu(u) : u);
  }
}

struct Element {
  float x, dy;
};
// And whether it has a gradient.
struct ReachedElement {
  Element element;
  bool reached;
};

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise_backward(NormShape s, Norm<T> a) {
  const Stand own = stand_of(s);
  const auto all = static_cast<unsigned>(s.elements / s.channels);
  const unsigned valid = a.state->valid * s.positions;
  const unsigned c = own.used ? own.channel : 0;
  const float mean = a.statistics.mean[c];
  const float inv_std = a.statistics.inv_std[c];
  const float gamma = gamma_of(a, c);
  const float beta = a.beta[c];
  const auto load = [&](unsigned p) {
    const std::size_t i = std::size_t{p} * s.channels + c;
    return Element{static_cast<float>(a.x[i]), static_cast<float>(a.dy[i])};
  };
  const auto du_of = [&](float dy, float xh) {
    return s.gelu ? dy * gelu_derivative(gamma * xh + beta) : dy;
  };
  double sums[2] = {};
  const auto sum_up = [&](unsigned, const Element& e) {
    const float xh = (e.x - mean) * inv_std;
    const auto du = static_cast<double>(du_of(e.dy, xh));
    sums[0] += du;
    sums[1] += du * static_cast<double>(xh);
  };
  for_strided<4>(own.used ? own.first : valid, valid, own.stride, load, sum_up);  // loads in a row: 8
  sum_slice<kThreads>(own.at, a.partial, a.barrier, sums);
  if (!own.used) return;
  if (own.at.part == 0 && own.at.row == 0) {
    a.dbeta[c] = static_cast<float>(sums[0]);
    if (a.dgamma != nullptr) a.dgamma[c] = static_cast<float>(sums[1]);
  }
  if (a.dx == nullptr) return;
  const auto mean_du = static_cast<float>(sums[0] / static_cast<double>(valid));
  const auto mean_du_xh = static_cast<float>(sums[1] / static_cast<double>(valid));
  const auto load_reached = [&](unsigned p) {
    return ReachedElement{load(p),
                          p < valid && (a.kept == nullptr || a.kept[s.by_positions.quotient(p)] != 0)};
  };
  const auto use = [&](unsigned p, const ReachedElement& r) {
    const float xh = (r.element.x - mean) * inv_std;
    const float dx = gamma * inv_std * (du_of(r.element.dy, xh) - (mean_du + xh * mean_du_xh));
    a.dx[std::size_t{p} * s.channels + c] = static_cast<T>(r.reached ? dx : 0.0F);
  };
  for_strided<4>(own.first, all, own.stride, load_reached, use);  // loads in a row: 8
}

NormShape shape_of(const CudaContext& context, const BatchNormDesc& desc, int batch) {
  NormShape s;
  s.elements = static_cast<std::size_t>(batch) * desc.in.size();
  s.positions = static_cast<unsigned>(desc.in.h * desc.in.w);
  s.by_positions = Divider(s.positions);
  s.channels = static_cast<unsigned>(desc.in.c);
  s.width = std::min(s.channels, kSlice);
  const unsigned slices = (s.channels + s.width - 1) / s.width;
  const std::size_t worth = s.elements / s.channels / (kThreads / s.width * kLeastAThread);
  const std::size_t room = context.multiprocessors / slices;
  s.parts = static_cast<unsigned>(std::clamp<std::size_t>(worth, 1, std::max<std::size_t>(room, 1)));
  s.gelu = desc.gelu;
  return s;
}

template <typename T>
class BatchNorm final : public Op {
 public:
  BatchNorm(const CudaContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        norm_(desc),
        shape_(shape_of(context, desc, batch)),
        blocks_((shape_.channels + shape_.width - 1) / shape_.width * shape_.parts) {}

  std::size_t saved_bytes() const override { return saved_statistics_bytes(norm_.in.c); }
  std::size_t workspace_bytes() const override {
    return shape_.parts > 1 ? slice_sums_bytes(blocks_, shape_.width) : 0;
  }

 private:
  Norm<T> arguments(const OpArgs& args) const {
    Norm<T> a;
    a.x = static_cast<const T*>(args.x);
    a.y = static_cast<T*>(args.y);
    a.dy = static_cast<const T*>(args.dy);
    a.dx = static_cast<T*>(args.dx);
    a.gamma = args.w;
    a.beta = args.b;
    a.dgamma = args.dw;
    a.dbeta = args.db;
    a.statistics = batch_statistics(norm_, args, args.saved);
    a.partial = reinterpret_cast<double*>(args.workspace);
    a.barrier = context_.barrier;
    a.state = args.state;
    a.kept = args.selected;
    return a;
  }

  LaunchShape launch_shape() const { return {blocks_, kThreads, shape_.parts > 1}; }

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
  BatchNormDesc norm_;
  NormShape shape_;
  unsigned blocks_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const BatchNormDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<BatchNorm<typename decltype(of)::Type>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
