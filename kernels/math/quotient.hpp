// Division in loops over many elements. A GPU's division to the last bit calls a subroutine for some
// operands, and no load is moved over a call.
#pragma once

#include "kernels/math/host_device.hpp"

namespace trainer {

// a / b, on a GPU to two units in the last place, and 0 for |b| from 2^126 on.
HOST_DEVICE float quotient_in_loops(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

}  // namespace trainer
