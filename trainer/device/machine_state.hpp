// What a machine is up to at one moment: what may have made a measurement slower than it had to be.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "kernels/device_info.hpp"

namespace trainer {

struct MachineState {
  std::optional<double> load;       // average number of running threads over the last minute, of all programs
  int processors = 1;               // that the system has
  std::optional<double> clock_mhz;  // of the processor, mean over its cores
  std::optional<GpuSensors> gpu;    // of the GPU in use
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

}  // namespace trainer
