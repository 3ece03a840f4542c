// The engine's error texts.
#include "kernels/cuda/runtime/check.hpp"

#include <filesystem>
#include <fmt/format.h>

namespace trainer::cuda {

namespace {

std::string message(std::string_view what, cudaError_t code, const char* file, int line) {
  return fmt::format("{}: {} ({}): {} ({}:{})", what, cudaGetErrorName(code), static_cast<int>(code),
                     cudaGetErrorString(code), std::filesystem::path(file).filename().string(), line);
}

}  // namespace

CudaError::CudaError(std::string_view what, cudaError_t code, const char* file, int line)
    : BackendError(message(what, code, file, line)), code_(code) {}

void fail(std::string_view what, cudaError_t code, const char* file, int line) {
  static_cast<void>(cudaGetLastError());  // what was one call's fault does not fail the next one
  throw CudaError(what, code, file, line);
}

}  // namespace trainer::cuda
