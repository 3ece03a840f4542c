// Pooling kernels, for the layers of that name and for the convolutions that end in a pool. Maps are of the
// context's element type.
#pragma once

#include <cstdint>

#include "kernels/cuda/context.hpp"

namespace trainer::cuda {

struct PoolShape {
  int batch = 1;
  Shape map;  // before the pool
  Shape out;  // behind it
  Window window;
  bool relu = false;  // of y
};

// Refuses windows whose argmax does not fit into a byte. Throws BackendError with the op's description.
void require_poolable(const OpDesc& desc, const Window& window);

// y = the largest of map + bias in each window, then ReLU; argmax: its place in the window, row by row, the
// first of equals (null in inference). bias may be null.
struct PoolForward {
  const void* map = nullptr;       // [n, h, w, c]
  const float* bias = nullptr;     // [c]
  void* y = nullptr;               // [n, h', w', c]
  std::uint8_t* argmax = nullptr;  // [n, h', w', c]
};
void launch_maxpool(const CudaContext& context, const PoolShape& shape, const PoolForward& args);

// dmap: dy where a window has its argmax, summed over the windows that share it, else 0; with ReLU only where
// y > 0. db: the sum of those dy for each channel (null: not wanted, and then partial is not used).
struct PoolBackward {
  const void* dy = nullptr;
  const void* y = nullptr;
  const std::uint8_t* argmax = nullptr;
  void* dmap = nullptr;
  float* db = nullptr;       // [c]
  float* partial = nullptr;  // partial_sums_bytes(c)
};
void launch_maxpool_backward(const CudaContext& context, const PoolShape& shape, const PoolBackward& args);

}  // namespace trainer::cuda
