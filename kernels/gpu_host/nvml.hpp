// The driver's management library (NVML), which reports what the CUDA runtime does not. It is loaded at run time, since
// containers often lack it and the toolkit's base packages have no header for it; whatever is missing stays empty.
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
  // Loads and initialises NVML; if that fails, every query returns an empty answer.
  explicit Nvml(const char* library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // The code of its initialisation (nvmlReturn_t), 0 for success; nothing if the library is not found.
  std::optional<int> start() const { return start_; }
  std::string driver_version() const;  // "580.65.06"; empty if unknown
  std::optional<int> devices() const;  // all of the machine, whatever CUDA_VISIBLE_DEVICES says

  // Fills in the sensors, MIG and free memory of the GPU with this pci_bus_id, in upper or lower case.
  void read(GpuInfo* gpu) const;
  // GpuSensors::energy_joules alone; the device updates it about ten times a second.
  std::optional<double> energy_joules(const std::string& pci_bus_id) const;

 private:
  void* device(const std::string& pci_bus_id) const;  // null if it is unknown

  std::optional<int> start_;
  std::unique_ptr<NvmlCalls> calls_;  // null if NVML did not start
};

// Why a GPU's clocks are below their peak, in words. The bits are nvmlClocksEventReasons of the NVML API Reference,
// which were called throttle reasons until driver 535. Empty for 0: the clocks are at their peak. Unknown bits appear
// as their number.
std::vector<std::string> throttle_reasons(unsigned long long bits);

}  // namespace trainer
