// Owners of the CUDA runtime's handles.
#pragma once

#include <cuda_runtime.h>
#include <type_traits>

#include "kernels/cuda/runtime/handle.hpp"

namespace trainer::cuda {

using Stream = Handle<std::remove_pointer_t<cudaStream_t>, cudaStreamDestroy>;
using Event = Handle<std::remove_pointer_t<cudaEvent_t>, cudaEventDestroy>;
using Graph = Handle<std::remove_pointer_t<cudaGraph_t>, cudaGraphDestroy>;
using GraphExec = Handle<std::remove_pointer_t<cudaGraphExec_t>, cudaGraphExecDestroy>;

}  // namespace trainer::cuda
