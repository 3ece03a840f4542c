// The instruction of the tensor cores that the project's kernels use, mma.sync.m16n8k8 on TF32: what it adds
// to d, for all lanes of a warp, once the last of them comes (warp.cpp). Which elements a lane holds is told
// in kernels/cuda/matmul/tensor_cores.cuh.
#pragma once

#include <emulated/collectives.hpp>

namespace emulator {

struct TensorOperands {
  float* d;        // [4]
  const float* a;  // [4]
  const float* b;  // [2]
};

}  // namespace emulator

inline void emulated_multiply_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2],
                                   emulator::Place place = {__builtin_FILE(), __builtin_LINE()}) {
  const emulator::TensorOperands own{d, a, b};
  emulator::wait_for_warp({emulator::WarpKind::tensor, "mma.sync", 0xFFFFFFFFU,
                           reinterpret_cast<std::uintptr_t>(&own), -1, place});
}
