// The driver's management library (NVML): what the CUDA runtime does not tell of a GPU. It is loaded at run
// time, since containers often lack it and the toolkit's base packages bring no header; whatever is missing
// stays empty.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/device_info.hpp"

namespace trainer {

struct NvmlCalls;

// What a GPU could do, beside which its sensors are read, and what it has suffered. Empty: it does not tell.
struct GpuCondition {
  std::optional<double> power_default_watts;  // the limit that it was made with
  std::optional<int> sm_clock_peak_mhz;
  std::optional<int> pcie_generation;
  std::optional<int> pcie_lanes;
  std::optional<int> pcie_lanes_peak;
  std::optional<int> nvlinks;                       // that are up
  std::optional<int> processes;                     // that compute on it, this one included
  std::optional<std::uint64_t> corrected_errors;    // of its memory (ECC), since the driver was loaded
  std::optional<std::uint64_t> uncorrected_errors;  // likewise
};

struct NvmlReading {
  GpuSensors sensors;
  GpuCondition condition;
  std::optional<bool> mig;
  std::optional<std::uint64_t> free_bytes;  // of the whole device; needs no context on it
};

// How its start went. `code` is nvmlReturn_t's.
struct NvmlStart {
  bool loaded = false;  // the library was found
  int code = 0;
};

class Nvml {
 public:
  // Loads and starts it; where that fails, every question has an empty answer.
  explicit Nvml(const char* library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  NvmlStart start() const { return start_; }
  std::string driver_version() const;  // "580.65.06"; empty where unknown
  // `pci_bus_id` as cudaDeviceGetPCIBusId writes it, in upper or lower case.
  NvmlReading read(const std::string& pci_bus_id) const;
  // GpuSensors::energy_joules alone; the device renews it some ten times a second.
  std::optional<double> energy_joules(const std::string& pci_bus_id) const;

 private:
  NvmlStart start_;
  std::unique_ptr<NvmlCalls> calls_;  // null where NVML is absent
};

}  // namespace trainer
