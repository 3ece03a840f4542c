// Replaces the GPU engine in a build without it: reports this and what to do.
#include "kernels/backend.hpp"
#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer {

bool has_gpu_engine() {
  return false;
}

std::unique_ptr<GpuProbe> open_gpu_probe() {
  return make_driver_probe();
}

GpuAvailability gpu_availability() {
  return {false, found_failure("device-engine", "", {}).text()};
}

std::vector<GpuInfo> all_gpus() {
  return {};
}

std::optional<double> peer_bytes_per_second(int /*from*/, int /*to*/) {
  return std::nullopt;
}

bool gpu_has(int /*device*/, Precision /*precision*/) {
  return false;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& /*options*/) {
  throw BackendError("--device cuda: " + gpu_availability().reason + "; use --device cpu or auto");
}

}  // namespace trainer
