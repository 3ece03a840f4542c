// The driver's management library (NVML): what the CUDA runtime does not tell of a GPU. It is loaded at run
// time, since containers often lack it and the toolkit's base packages bring no header; whatever is missing
// stays empty.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/device_info.hpp"

namespace trainer::cuda {

struct NvmlCalls;

struct NvmlReading {
  GpuSensors sensors;
  std::optional<bool> mig;
  std::optional<std::uint64_t> free_bytes;  // of the whole device; needs no context on it
};

class Nvml {
 public:
  // Loads and starts it; where that fails, every question has an empty answer.
  explicit Nvml(const char* library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::string driver_version() const;  // "580.65.06"; empty where unknown
  // `pci_bus_id` as cudaDeviceGetPCIBusId writes it, in upper or lower case.
  NvmlReading read(const std::string& pci_bus_id) const;

 private:
  std::unique_ptr<NvmlCalls> calls_;  // null where NVML is absent
};

}  // namespace trainer::cuda
