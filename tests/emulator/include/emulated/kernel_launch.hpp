// Launches a kernel: its arguments are copied into a closure that the emulator calls once for each thread. There is no
// kernel<<<grid, block>>>, which only nvcc can parse; kernels/cuda/runtime/launch.hpp does not use it.
#pragma once

#include <cstddef>
#include <emulated/runtime_calls.hpp>
#include <emulated/vectors.hpp>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

enum cudaLaunchAttributeID {
  cudaLaunchAttributeCooperative = 2,
};

union cudaLaunchAttributeValue {
  char pad[64];
  int cooperative;
};

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

struct cudaFuncAttributes {
  std::size_t sharedSizeBytes;
  std::size_t constSizeBytes;
  std::size_t localSizeBytes;
  int maxThreadsPerBlock;
  int numRegs;
  int ptxVersion;
  int binaryVersion;
  int maxDynamicSharedSizeBytes;
};

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,
};

namespace emulator {

struct KernelCall {
  const void* symbol = nullptr;  // the kernel's address, from which its name is found
  dim3 grid;
  dim3 block;
  bool cooperative = false;  // its blocks run at the same time
  std::size_t dynamic_shared_bytes = 0;
  std::vector<const void*> pointers;  // its pointer arguments, except those within structs
  std::function<void()> thread;       // runs one thread of it
};

cudaError_t launch_kernel(KernelCall call, cudaStream_t stream);
cudaError_t function_attributes(const void* symbol, cudaFuncAttributes* attributes);
cudaError_t set_function_attribute(const void* symbol, cudaFuncAttribute attribute, int value);
cudaError_t blocks_a_multiprocessor(int* blocks, const void* symbol, int threads);

template <typename T>
void note_pointer(std::vector<const void*>& pointers, const T& argument) {
  if constexpr (std::is_pointer_v<T>) pointers.push_back(argument);
}

}  // namespace emulator

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  emulator::KernelCall call;
  call.symbol = reinterpret_cast<const void*>(kernel);
  call.grid = config->gridDim;
  call.block = config->blockDim;
  for (unsigned i = 0; i < config->numAttrs; ++i) call.cooperative |= config->attrs[i].val.cooperative != 0;
  call.dynamic_shared_bytes = config->dynamicSmemBytes;
  std::tuple<Parameters...> held(std::forward<Arguments>(arguments)...);
  std::apply([&](const auto&... argument) { (emulator::note_pointer(call.pointers, argument), ...); }, held);
  call.thread = [kernel, held = std::move(held)] { std::apply(kernel, held); };
  return emulator::launch_kernel(std::move(call), config->stream);
}

inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return emulator::function_attributes(kernel, attributes);
}
template <typename... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(Parameters...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int threads,
                                                                 std::size_t /*dynamic_shared_bytes*/) {
  return emulator::blocks_a_multiprocessor(blocks, kernel, threads);
}
template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
  return emulator::set_function_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
