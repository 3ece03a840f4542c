// The driver's management library (NVML), which tells of a GPU what the CUDA runtime does not. It is loaded at run time, since
// containers often lack it and the toolkit's base packages bring no header; whatever is missing stays empty.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"

namespace trainer {

struct NvmlCalls;

class Nvml {
 public:
  // Loads and starts it; where that fails, every question has an empty answer.
  explicit Nvml(const char* library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // The code that its start gave (nvmlReturn_t), 0 for success; nothing where the library is not found.
  std::optional<int> start() const { return start_; }
  std::string driver_version() const;  // "580.65.06"; empty where unknown

  // Fills in the sensors, MIG and free memory of the GPU with this pci_bus_id, in upper or lower case.
  void read(GpuInfo* gpu) const;
  // GpuSensors::energy_joules alone; the device renews it some ten times a second.
  std::optional<double> energy_joules(const std::string& pci_bus_id) const;

 private:
  void* device(const std::string& pci_bus_id) const;  // null where it is unknown

  std::optional<int> start_;
  std::unique_ptr<NvmlCalls> calls_;  // null where NVML did not start
};

// Why a GPU's clocks are below their peak, in words. The bits are nvmlClocksEventReasons of the NVML API Reference; until
// driver 535 they were called throttle reasons. Nothing for 0: the clocks are as high as they go. Bits that are not known
// appear as their number.
std::vector<std::string> throttle_reasons(unsigned long long bits);

}  // namespace trainer
