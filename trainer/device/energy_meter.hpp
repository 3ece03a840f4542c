// What a GPU uses while a run trains on it, by the counter that NVML reads (from Volta on). It counts for the
// whole GPU, so that other programs on it count too.
#pragma once

#include <optional>
#include <string>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/nvml.hpp"

namespace trainer {

class EnergyMeter {
 public:
  // Begins to count. `earlier`: the joules of the run's parts so far, 0 of a new one, nothing where they are
  // not known.
  EnergyMeter(const DeviceInfo& info, std::optional<double> earlier,
              const char* library = "libnvidia-ml.so.1");

  // Joules of the whole run until now. Nothing on a CPU, on an instance of a GPU (MIG), and where NVML does
  // not tell.
  std::optional<double> used() const;

 private:
  std::optional<Nvml> nvml_;
  std::string bus_id_;
  std::optional<double> earlier_;
  std::optional<double> begin_;
};

}  // namespace trainer
