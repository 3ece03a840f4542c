// Batch normalisation, then GELU if the plan says so, in one kernel for each direction. A block reads its part of a
// slice twice, before and after the sums (norm_sums.cuh), so the blocks of a slice run at the same time, at most one
// per multiprocessor. op.hpp has the formulas.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/math/divider.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 512;
constexpr unsigned kSlice = 16;        // at most so many channels of a block
constexpr unsigned kLeastAThread = 8;  // positions, before a slice is divided among blocks

struct NormShape {
  unsigned batch = 1;
  Divider positions;  // of an image
  unsigned channels = 1;
  unsigned width = 1;  // a slice's
  unsigned parts = 1;  // parts of the positions
  bool gelu = false;
};

// w is gamma, and null if that is 1.
template <typename T>
struct BatchNormArgs : MapArgs<T> {
  using MapArgs<T>::MapArgs;
  NormArgs norm;
};

// A thread's channel and positions: first, first + stride ...
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
__device__ float gamma_of(const BatchNormArgs<T>& a, std::size_t c) {
  return a.w == nullptr ? 1.0F : a.w[c];
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise(NormShape s, BatchNormArgs<T> a) {
  const Stand own = stand_of(s);
  const T* x = a.x + own.channel;
  const auto load = [&](unsigned p) { return static_cast<float>(x[std::size_t{p} * s.channels]); };
  Centring to{};
  if (a.training) {
    const unsigned valid = a.norm.state->valid * s.positions.by();
    double sums[2] = {};
    const auto sum_up = [&](unsigned, float single) {
      const auto value = static_cast<double>(single);
      sums[0] += value;
      sums[1] += value * value;
    };
    for_strided<8>(own.used ? own.first : valid, valid, own.stride, load, sum_up);  // loads in a row: 6
    sum_slice<kThreads>(own.at, a.norm.partial, a.norm.barrier, sums);
    const bool writes = own.at.part == 0 && own.at.row == 0;
    if (own.used) to = batch_centring(a.norm, own.channel, sums, static_cast<double>(valid), writes);
  } else if (own.used) {
    to = running_centring(a.norm, own.channel);
  }
  if (!own.used) return;
  const float gamma = gamma_of(a, own.channel);
  const float beta = a.norm.beta[own.channel];
  T* y = a.y + own.channel;
  const auto use = [&](unsigned p, float value) {
    y[std::size_t{p} * s.channels] = static_cast<T>(normalised(value, to, beta, s.gelu, gamma));
  };
  for_strided<8>(own.first, s.batch * s.positions.by(), own.stride, load, use);  // loads in a row: 8
}

struct Element {
  float x, dy;
};
// An element, and whether it has a gradient.
struct ReachedElement {
  Element element;
  bool reached;
};

template <typename T>
__global__ void __launch_bounds__(kThreads, 1) normalise_backward(NormShape s, BatchNormArgs<T> a) {
  const Stand own = stand_of(s);
  const unsigned valid = a.norm.state->valid * s.positions.by();
  const unsigned c = own.used ? own.channel : 0;
  NormGradient norm{{a.norm.mean[c], a.norm.inv_std[c]}, a.norm.beta[c], s.gelu, gamma_of(a, c)};
  const auto load = [&](unsigned p) {
    const std::size_t i = std::size_t{p} * s.channels + c;
    return Element{static_cast<float>(a.x[i]), static_cast<float>(a.dy[i])};
  };
  double sums[2] = {};
  const auto sum_up = [&](unsigned, const Element& e) {
    const float xh = norm.xh(e.x);
    const auto du = static_cast<double>(norm.du(e.dy, xh));
    sums[0] += du;
    sums[1] += du * static_cast<double>(xh);
  };
  for_strided<4>(own.used ? own.first : valid, valid, own.stride, load, sum_up);  // loads in a row: 8
  sum_slice<kThreads>(own.at, a.norm.partial, a.norm.barrier, sums);
  if (!own.used) return;
  if (own.at.part == 0 && own.at.row == 0) {
    a.db[c] = static_cast<float>(sums[0]);
    if (a.dw != nullptr) a.dw[c] = static_cast<float>(sums[1]);
  }
  if (a.dx == nullptr) return;
  norm.take_means(sums, static_cast<double>(valid));
  const auto load_reached = [&](unsigned p) {
    return ReachedElement{load(p),
                          p < valid && (a.selected == nullptr || a.selected[s.positions.quotient(p)] != 0)};
  };
  const auto use = [&](unsigned p, const ReachedElement& r) {
    const float dx = norm.dz(r.element.dy, r.element.x);
    a.dx[std::size_t{p} * s.channels + c] = static_cast<T>(r.reached ? dx : 0.0F);
  };
  for_strided<4>(own.first, s.batch * s.positions.by(), own.stride, load_reached, use);  // loads in a row: 8
}

NormShape shape_of(const CudaContext& context, const BatchNormDesc& desc, int batch) {
  NormShape s;
  s.batch = static_cast<unsigned>(batch);
  s.positions = Divider(static_cast<unsigned>(desc.in.h * desc.in.w));
  s.channels = static_cast<unsigned>(desc.in.c);
  s.width = std::min(s.channels, kSlice);
  const unsigned slices = (s.channels + s.width - 1) / s.width;
  const unsigned worth = s.batch * s.positions.by() / (kThreads / s.width * kLeastAThread);
  s.parts = std::clamp(worth, 1U, std::max(context.multiprocessors / slices, 1U));
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
  BatchNormArgs<T> arguments(const OpArgs& args) const {
    BatchNormArgs<T> a(args);
    a.norm = norm_args(norm_, args, args.saved, reinterpret_cast<double*>(args.workspace), context_.barrier);
    return a;
  }

  void run_forward(const OpArgs& args) override {
    const BatchNormArgs<T> a = arguments(args);
    launch(context_.stream, {blocks_, kThreads, a.training && shape_.parts > 1}, "normalise", normalise<T>,
           shape_, a);
  }

  void run_backward(const OpArgs& args) override {
    launch(context_.stream, {blocks_, kThreads, shape_.parts > 1}, "normalise_backward",
           normalise_backward<T>, shape_, arguments(args));
  }

  const CudaContext& context_;
  BatchNormDesc norm_;
  NormShape shape_;
  unsigned blocks_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const BatchNormDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<BatchNorm<T>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
