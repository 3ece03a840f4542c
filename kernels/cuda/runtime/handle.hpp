// Owners of the objects that a C library hands out by pointer, such as those of the CUDA runtime. They are
// move-only; the result of the library's `destroy` function is ignored, because nothing is left to be done about it.
//   using LtHandle = Handle<cublasLtContext, cublasLtDestroy>;
//   LtHandle handle = made<LtHandle>([](auto* out) { check(cublasLtCreate(out), "cublasLtCreate"); });
#pragma once

#include <cuda_runtime.h>
#include <memory>
#include <type_traits>

namespace trainer::cuda {

template <typename T, auto destroy>
struct Destroyer {
  void operator()(T* object) const noexcept { static_cast<void>(destroy(object)); }
};

template <typename T, auto destroy>
using Handle = std::unique_ptr<T, Destroyer<T, destroy>>;

// `create` gets the address to write the pointer to, and throws if it fails.
template <typename H, typename Create>
H made(const Create& create) {
  typename H::pointer object = nullptr;
  create(&object);
  return H(object);
}

using Stream = Handle<std::remove_pointer_t<cudaStream_t>, cudaStreamDestroy>;
using Event = Handle<std::remove_pointer_t<cudaEvent_t>, cudaEventDestroy>;
using Graph = Handle<std::remove_pointer_t<cudaGraph_t>, cudaGraphDestroy>;
using GraphExec = Handle<std::remove_pointer_t<cudaGraphExec_t>, cudaGraphExecDestroy>;

}  // namespace trainer::cuda
