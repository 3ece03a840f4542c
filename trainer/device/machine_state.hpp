// The state of a machine at one moment, which may have slowed down a measurement, and its GPU's energy consumption.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/nvml.hpp"

namespace trainer {

struct MachineState {
  std::optional<double> load;       // average number of all programs' running threads over the last minute
  int processors = 1;               // in the system
  std::optional<double> clock_mhz;  // mean over the processor's cores
  std::optional<GpuSensors> gpu;    // the GPU in use
};

// The current state; `info` is the backend's, read just before.
MachineState machine_state(const DeviceInfo& info);

// Whether other programs kept more than an eighth of the processors busy, by a state read before this program's own work began.
// The program's own last minutes count too: the load is an average.
bool was_busy(const MachineState& before);

std::string state_text(const MachineState& state);             // one line, without its end
nlohmann::ordered_json state_json(const MachineState& state);  // null for what is unknown

// Returns the clocks, the power and the temperature of the GPU with this bus id at each call, as in state_text; "" if NVML does not tell.
std::function<std::string()> gpu_state_reader(const std::string& pci_bus_id,
                                              const char* library = "libnvidia-ml.so.1");

// The most memory that this process has ever had, in bytes.
std::uint64_t peak_process_bytes();

// The energy that a GPU uses while a run trains on it, from the counter that NVML reads (Volta and later). The counter covers the
// whole GPU, including other programs on it.
class EnergyMeter {
 public:
  // Starts to count. `earlier` is what earlier parts of the run have used: 0 for a new run, nothing if it is unknown.
  EnergyMeter(const DeviceInfo& info, std::optional<double> earlier,
              const char* library = "libnvidia-ml.so.1");

  // Joules of the whole run so far; nothing on a CPU, on an instance of a GPU (MIG), or if NVML or `earlier` does not tell.
  std::optional<double> used() const;

 private:
  std::optional<Nvml> nvml_;
  std::string bus_id_;
  std::optional<double> earlier_;
  std::optional<double> begin_;
};

}  // namespace trainer
