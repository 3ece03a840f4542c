#include "kernels/cuda/device_info/availability.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/device_info/device_info.hpp"
#include "kernels/gpu_host/gpu_surroundings.hpp"

namespace trainer::cuda {

namespace {

class RuntimeProbe : public GpuProbe {
 public:
  Count count() const override {
    Count count;
    count.code = cudaGetDeviceCount(&count.devices);
    if (count.code != cudaSuccess) count.devices = 0;
    (void)cudaGetLastError();
    return count;
  }

  int describe(int device, GpuInfo* gpu) const override {
    cudaDeviceProp properties{};
    cudaError_t code = cudaGetDeviceProperties(&properties, device);
    if (code == cudaSuccess) code = read_compute_mode(device, &gpu->compute_mode);
    (void)read_pci_bus_id(device, &gpu->pci_bus_id);
    (void)cudaGetLastError();
    gpu->name = properties.name;
    gpu->major = properties.major;
    gpu->minor = properties.minor;
    return code;
  }

  int open(int device) const override {
    cudaError_t code = cudaSetDevice(device);
    if (code == cudaSuccess) code = cudaFree(nullptr);
    (void)cudaGetLastError();
    return code;
  }

  std::string architectures() const override { return compiled_architectures(); }

  std::string code_name(int code) const override {
    const auto error = static_cast<cudaError_t>(code);
    return fmt::format("CUDA {}, {}: {}", code, cudaGetErrorName(error), cudaGetErrorString(error));
  }

  GpuSurroundings surroundings() const override {
    GpuSurroundings around = look_at_surroundings();
    (void)cudaRuntimeGetVersion(&around.runtime_version);
    return around;
  }
};

}  // namespace

void require_device(int device) {
  if (const std::optional<Failure> failure = find_gpu_failure(RuntimeProbe(), device)) {
    throw BackendError(fmt::format("--device cuda:{}: {}", device, failure->text()));
  }
}

}  // namespace trainer::cuda

namespace trainer {

bool has_gpu_engine() {
  return true;
}

std::unique_ptr<GpuProbe> open_gpu_probe() {
  return std::make_unique<cuda::RuntimeProbe>();
}

GpuAvailability gpu_availability() {
  const std::optional<Failure> failure = find_gpu_failure(*open_gpu_probe(), 0);
  return {!failure, failure ? failure->text() : ""};
}

}  // namespace trainer
