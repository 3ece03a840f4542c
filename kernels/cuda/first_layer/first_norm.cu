// Forward of a first layer on grey pictures with the batch normalisation behind it, in one kernel: it opens
// the step, makes convolution, pool and the sums over the batch; the blocks wait for one another;
// normalisation and GELU follow. one_channel_conv.cu has the layer without a normalisation.
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/norm_sums.cuh"
#include "kernels/cuda/first_layer/first_norm.hpp"
#include "kernels/cuda/first_layer/picture.cuh"

namespace trainer::cuda {

namespace {

template <typename T>
struct FirstNormForward {
  GatherArgs gather;  // where `gathers`: writes x and the rest as Backend::gather would
  bool gathers = false;
  bool training = false;
  const T* x = nullptr;
  const float* w = nullptr;  // [channels, k, k]
  const float* beta = nullptr;
  T* z = nullptr;
  T* y = nullptr;
  std::uint8_t* argmax = nullptr;
  BatchStatistics statistics;
  double* partial = nullptr;
  unsigned* barrier = nullptr;
  const StepState* state = nullptr;
};

template <typename T, int kKernel, int kPool>
__global__ void __launch_bounds__(kFirstNormThreads, 1) first_norm(FirstNorm s, FirstNormForward<T> a) {
  __shared__ float pictures[kPictureMemory];
  const FirstConv& conv = s.conv;
  const SliceThread at = slice_thread<kFirstNormThreads>(conv.channels, gridDim.x);
  const unsigned c = at.lane;
  float filter[kKernel * kKernel];
#pragma unroll
  for (int k = 0; k < kKernel * kKernel; ++k)
    filter[k] = a.w[c * (kKernel * kKernel) + static_cast<unsigned>(k)];
  const float beta = a.beta[c];
  const unsigned outputs = conv.outputs();
  const unsigned valid = a.gathers ? valid_rows(a.gather.batching, a.gather.state->step) : a.state->valid;
  const unsigned begin = blockIdx.x * s.run;
  const unsigned end = min(begin + s.run, conv.batch);
  Centring to{};
  if (!a.training) to = running_centring(a.statistics, c);
  double sums[2] = {};
  for (unsigned first = begin; first < end; first += s.together) {
    const unsigned count = min(s.together, end - first);
    __syncthreads();
    if (a.gathers) {
      gather_pictures<kFirstNormThreads, T>(conv, a.gather, first, count, true, pictures);
    } else {
      load_pictures<kFirstNormThreads>(
          conv, count, a.x + std::size_t{first} * static_cast<unsigned>(conv.h * conv.w), pictures);
    }
    __syncthreads();
    for (unsigned p = at.row < at.rows ? at.row : count * outputs; p < count * outputs; p += at.rows) {
      float values[kPool * kPool];
      window_values<kKernel, kPool>(window_corner(conv, pictures, p), conv.pw, filter, values);
      const ArgMax best = largest_of(values);
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
  sum_slice<kFirstNormThreads>(at, a.partial, a.barrier, sums);
  if (at.row >= at.rows) return;
  to = batch_centring(a.statistics, c, sums, static_cast<double>(valid * outputs),
                      blockIdx.x == 0 && at.row == 0);
  const auto load = [&](unsigned p) { return static_cast<float>(a.z[std::size_t{p} * conv.channels + c]); };
  const auto use = [&](unsigned p, float z) {
    a.y[std::size_t{p} * conv.channels + c] = static_cast<T>(normalised(z, to, beta, s.gelu));
  };
  for_strided<8>(begin * outputs + at.row, end * outputs, at.rows, load, use);  // loads in a row: 8
}

}  // namespace

void launch_first_norm(const CudaContext& context, const FirstNorm& shape, const NormalisedDesc& desc,
                       const OpArgs& args, const FirstNormBuffers& buffers) {
  const auto run = [&]<typename T>(ElementType<T>) {
    FirstNormForward<T> a;
    a.gathers = args.gather != nullptr;
    if (a.gathers) a.gather = *args.gather;
    a.training = args.mode == Mode::training;
    a.x = static_cast<const T*>(args.x);
    a.w = args.w;
    a.beta = args.b;
    a.z = static_cast<T*>(buffers.z);
    a.y = static_cast<T*>(args.y);
    a.argmax = buffers.argmax;
    a.statistics = batch_statistics(desc.norm, args, buffers.statistics);
    a.partial = buffers.partial;
    a.barrier = context.barrier;
    a.state = args.state;
    visit_window(std::get<ConvDesc>(desc.product), [&](auto kernel_size, auto pool) {
      launch(context.stream, {shape.blocks(), kFirstNormThreads, a.training}, "first_norm",
             first_norm<T, kernel_size(), pool()>, shape, a);
    });
  };
  visit_element(context.element, run);
}

}  // namespace trainer::cuda
