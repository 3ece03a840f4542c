// What a machine is up to at one moment, which may have made a measurement slower than it had to be, and what its GPU uses.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/nvml.hpp"

namespace trainer {

struct MachineState {
  std::optional<double> load;       // average number of running threads over the last minute, of all programs
  int processors = 1;               // that the system has
  std::optional<double> clock_mhz;  // the processor's, the mean over its cores
  std::optional<GpuSensors> gpu;    // those of the GPU in use
};

// Now; `info` is the backend's, asked for just before.
MachineState machine_state(const DeviceInfo& info);

// Whether other programs kept more than an eighth of the processors busy, in a state read before one's own
// work began. The program's own last minutes count too: the load is an average.
bool was_busy(const MachineState& before);

std::string state_text(const MachineState& state);             // one line, without its end
nlohmann::ordered_json state_json(const MachineState& state);  // null for what is unknown

// The most memory that this process has ever had, in bytes.
std::uint64_t peak_process_bytes();

// What a GPU uses while a run trains on it, by the counter that NVML reads (from Volta on). It counts for the whole GPU, so that
// other programs on it count too.
class EnergyMeter {
 public:
  // Begins to count. `earlier` is what the run's parts have used so far: 0 for a new run, nothing where it is not known.
  EnergyMeter(const DeviceInfo& info, std::optional<double> earlier,
              const char* library = "libnvidia-ml.so.1");

  // Joules of the whole run until now; nothing on a CPU, on an instance of a GPU (MIG), and where NVML does not tell.
  std::optional<double> used() const;

 private:
  std::optional<Nvml> nvml_;
  std::string bus_id_;
  std::optional<double> earlier_;
  std::optional<double> begin_;
};

}  // namespace trainer
