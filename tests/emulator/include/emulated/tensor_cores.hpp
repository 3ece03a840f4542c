// The tensor-core instruction that the project's kernels use, mma.sync.m16n8k8 on TF32. It adds to d for all lanes of a
// warp once the last of them arrives (warp.cpp). kernels/cuda/matmul/tensor_cores.cuh says which elements a lane holds.
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
