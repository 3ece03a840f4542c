// The kernels of a first layer on grey pictures with the batch normalisation behind it.
#pragma once

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/norm_sums.hpp"
#include "kernels/cuda/first_layer/picture.hpp"

namespace trainer::cuda {

constexpr unsigned kFirstNormThreads = 512;
constexpr unsigned kPictureMemory = 2 * kMostPixels;  // floats of shared memory: pictures, then sums

// A block takes a run of the batch's pictures, some of them in shared memory at a time, a thread one channel
// of every few windows.
struct FirstNorm {
  FirstConv conv;
  unsigned run = 1;
  unsigned together = 1;
  bool gelu = false;

  unsigned blocks() const { return (conv.batch + run - 1) / run; }
};

// What forward keeps for backward, and scratch.
struct FirstNormBuffers {
  std::byte* statistics = nullptr;  // kept_statistics_bytes()
  void* z = nullptr;                // [n, rows, columns, channels]: what comes out of the pool
  std::uint8_t* argmax = nullptr;   // of the same shape
  double* partial = nullptr;        // slice_sums_bytes()
  float* taps = nullptr;            // [blocks, channels, k * k]
};

void launch_first_norm(const CudaContext& context, const FirstNorm& shape, const NormalisedDesc& desc,
                       const OpArgs& args, const FirstNormBuffers& buffers);
void launch_first_norm_backward(const CudaContext& context, const FirstNorm& shape,
                                const NormalisedDesc& desc, const OpArgs& args,
                                const FirstNormBuffers& buffers);

}  // namespace trainer::cuda
