// Backward of a first layer on grey pictures with the batch normalisation behind it, in one kernel: the sums
// of normalisation's gradient; the blocks wait for one another; then the gradient of each value out of the
// pool goes straight into the k x k terms of dw under its window's winner.
#include "kernels/cuda/first_norm.hpp"
#include "kernels/cuda/last_block.cuh"
#include "kernels/cuda/map_element.hpp"
#include "kernels/cuda/norm_sums.cuh"
#include "kernels/cuda/picture.cuh"

namespace trainer::cuda {

namespace {

template <typename T>
struct FirstNormBackward {
  const T* x = nullptr;
  const T* z = nullptr;
  const T* dy = nullptr;
  const std::uint8_t* winners = nullptr;
  const float* offset = nullptr;
  BatchStatistics statistics;
  float* dw = nullptr;  // [channels, k, k]
  float* doffset = nullptr;
  double* partial = nullptr;
  unsigned* barrier = nullptr;
  float* taps = nullptr;
  const StepState* state = nullptr;
  const std::uint8_t* kept = nullptr;  // null: all valid rows; the dy of others is 0
};

// Every thread's k x k sums over its windows become dw: those of a block through shared memory, those of the
// blocks in the one that comes last.
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
    for (unsigned i = threadIdx.x; i < taps * at.width; i += kFirstNormThreads) {
      const unsigned k = i / at.width;
      const unsigned c = i % at.width;
      float sum = 0;
      for (unsigned r = 0; r < at.rows; ++r) sum += memory[k * kFirstNormThreads + r * at.width + c];
      partial[blockIdx.x * count + c * kTaps + first + k] = sum;
    }
  }
  if (!is_last_block(ticket, gridDim.x)) return;
  for (unsigned start = 0; start < count; start += kFirstNormThreads) {
    const unsigned width = min(count - start, kFirstNormThreads);
    const unsigned rows = kFirstNormThreads / width;
    const unsigned i = threadIdx.x % width;
    float sum = 0;
#pragma unroll 8
    for (unsigned b = threadIdx.x / width < rows ? threadIdx.x / width : gridDim.x; b < gridDim.x; b += rows)
      sum += __ldcg(partial + b * count + start + i);
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

template <typename T, int kEdge, int kPool>
__global__ void __launch_bounds__(kFirstNormThreads, 1)
    first_norm_backward(FirstNorm s, FirstNormBackward<T> a, unsigned* ticket) {
  __shared__ float pictures[kPictureMemory];
  const FirstConv& conv = s.conv;
  const SliceThread at = slice_thread<kFirstNormThreads>(conv.channels, gridDim.x);
  const unsigned c = at.lane;
  NormGradient norm{{a.statistics.mean[c], a.statistics.scale[c]}, a.offset[c], s.gelu};
  const auto outputs = static_cast<unsigned>(conv.rows * conv.columns);
  const unsigned valid = a.state->valid;
  const unsigned begin = min(blockIdx.x * s.run, valid);
  const unsigned end = min(begin + s.run, valid);
  double sums[2] = {};
#pragma unroll 4
  for (unsigned p = at.row < at.rows ? begin * outputs + at.row : end * outputs; p < end * outputs;
       p += at.rows) {
    const std::size_t i = std::size_t{p} * conv.channels + c;
    const float normal = norm.xh(static_cast<float>(a.z[i]));
    const auto du = static_cast<double>(norm.du(static_cast<float>(a.dy[i]), normal));
    sums[0] += du;
    sums[1] += du * static_cast<double>(normal);
  }
  sum_slice<kFirstNormThreads>(at, a.partial, a.barrier, sums);
  if (blockIdx.x == 0 && at.row == 0) a.doffset[c] = static_cast<float>(sums[0]);
  norm.take_means(sums, static_cast<double>(valid * outputs));
  float taps[kEdge * kEdge] = {};
  for (unsigned first = begin; first < end; first += s.together) {
    const unsigned count = min(s.together, end - first);
    __syncthreads();
    load_pictures<kFirstNormThreads>(
        conv, count, a.x + std::size_t{first} * static_cast<unsigned>(conv.h * conv.w), pictures);
    __syncthreads();
    for (unsigned p = at.row < at.rows ? at.row : count * outputs; p < count * outputs; p += at.rows) {
      if (a.kept != nullptr && a.kept[first + p / outputs] == 0) continue;
      const std::size_t i = (std::size_t{first} * outputs + p) * conv.channels + c;
      const float dz = norm.dz(static_cast<float>(a.dy[i]), static_cast<float>(a.z[i]));
      const int winner = a.winners[i];
      const float* pixel = window_corner(conv, pictures, p) + winner / kPool * conv.pw + winner % kPool;
#pragma unroll
      for (int r = 0; r < kEdge; ++r) {
#pragma unroll
        for (int k = 0; k < kEdge; ++k) taps[r * kEdge + k] += dz * pixel[r * conv.pw + k];
      }
    }
  }
  add_up_taps<kEdge * kEdge>(at, taps, pictures, a.taps, a.dw, ticket);
}

}  // namespace

void launch_first_norm_backward(const CudaContext& context, const FirstNorm& shape,
                                const NormalisedDesc& desc, const OpArgs& args,
                                const FirstNormPieces& pieces) {
  const auto run = [&]<typename T>(ElementType<T>) {
    FirstNormBackward<T> a;
    a.x = static_cast<const T*>(args.x);
    a.z = static_cast<const T*>(pieces.z);
    a.dy = static_cast<const T*>(args.dy);
    a.winners = pieces.winners;
    a.offset = args.b;
    a.statistics = batch_statistics(desc.norm, args, pieces.statistics);
    a.dw = args.dw;
    a.doffset = args.db;
    a.partial = pieces.partial;
    a.barrier = context.barrier;
    a.taps = pieces.taps;
    a.state = args.state;
    a.kept = args.kept;
    visit_window(std::get<ConvDesc>(desc.product), [&](auto edge, auto pool) {
      launch(context.stream, {shape.blocks(), kFirstNormThreads, true}, "first_norm_backward",
             first_norm_backward<T, edge(), pool()>, shape, a, context.ticket);
    });
  };
  visit_element(context.element, run);
}

}  // namespace trainer::cuda
