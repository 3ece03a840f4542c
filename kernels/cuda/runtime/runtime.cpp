// The engine's error texts, and the queries about a kernel before it is launched.
#include <filesystem>
#include <fmt/format.h>

#include "kernels/cuda/runtime/launch.hpp"

namespace trainer::cuda {

CudaError::CudaError(std::string_view what, cudaError_t code, const char* file, int line)
    : BackendError(fmt::format("{}: {} ({}): {} ({}:{})", what, cudaGetErrorName(code),
                               static_cast<int>(code), cudaGetErrorString(code),
                               std::filesystem::path(file).filename().string(), line)) {}

int device_attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

unsigned blocks_at_once(const void* kernel, unsigned threads, std::string_view name) {
  int blocks = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, static_cast<int>(threads), 0),
        fmt::format("the room for {}", name));
  return static_cast<unsigned>(blocks);
}

void load_kernel(const void* kernel, const LaunchShape& shape, std::string_view name) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), fmt::format("the code of {}", name));
  if (!shape.cooperative) return;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const int multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount, device);
  const unsigned each = blocks_at_once(kernel, shape.threads, name);
  if (shape.blocks <= each * multiprocessors) return;
  throw BackendError(fmt::format(
      "{}: its {} blocks of {} threads wait for one another, but GPU {} runs no more than {} on each of {} "
      "multiprocessors at once; run without a profiler, sanitizer or debug build, or choose --device cpu",
      name, shape.blocks, shape.threads, device, each, multiprocessors));
}

}  // namespace trainer::cuda
