// Load and clocks as Linux reports them: /proc/loadavg, cpufreq, else /proc/cpuinfo.
#include "trainer/device/machine_state.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <numeric>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "trainer/device/device_report.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

// The mean over the cores in MHz, from cpufreq, else from the lines "cpu MHz : 2445.404" of /proc/cpuinfo.
std::optional<double> mean_clock(int processors) {
  std::vector<double> clocks;
  for (int i = 0; i < processors; ++i) {
    std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq", i));
    if (double khz = 0; in >> khz) clocks.push_back(khz / 1000);
  }
  std::ifstream info(clocks.empty() ? "/proc/cpuinfo" : "");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(':');
    if (line.starts_with("cpu MHz") && colon != std::string::npos)
      clocks.push_back(std::strtod(line.c_str() + colon + 1, nullptr));
  }
  const double sum = std::accumulate(clocks.begin(), clocks.end(), 0.0);
  return sum > 0 ? std::optional(sum / static_cast<double>(clocks.size())) : std::nullopt;
}

std::string gpu_text(const GpuSensors& gpu) {
  return fmt::format("GPU: SM {}, memory {}, {} of {}, {}, held back by: {}",
                     text_of(gpu.sm_clock_mhz, "{} MHz"), text_of(gpu.memory_clock_mhz, "{} MHz"),
                     text_of(gpu.power_watts, "{:.0f} W"), text_of(gpu.power_limit_watts, "{:.0f} W"),
                     text_of(gpu.temperature_celsius, "{} C"), throttle_text(gpu.throttle_reasons));
}

}  // namespace

MachineState machine_state(const DeviceInfo& info) {
  MachineState state;
  state.processors = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  double load = 0;
  if (getloadavg(&load, 1) == 1) state.load = load;
  state.clock_mhz = mean_clock(state.processors);
  if (info.gpu) state.gpu = info.gpu->sensors;
  return state;
}

bool was_busy(const MachineState& before) {
  return before.load && *before.load > before.processors / 8.0;
}

std::string state_text(const MachineState& state) {
  std::string text =
      fmt::format("load {} on {} {}, {}", text_of(state.load, "{:.2f}"), state.processors,
                  state.processors == 1 ? "processor" : "processors", text_of(state.clock_mhz, "{:.0f} MHz"));
  if (state.gpu) text += "; " + gpu_text(*state.gpu);
  return text;
}

ordered_json state_json(const MachineState& state) {
  return {{"load", json_of(state.load)},
          {"processors", state.processors},
          {"clock_mhz", json_of(state.clock_mhz)},
          {"gpu", state.gpu ? sensors_json(*state.gpu) : ordered_json(nullptr)}};
}

std::function<std::string()> gpu_state_reader(const std::string& pci_bus_id, const char* library) {
  return [nvml = std::make_shared<Nvml>(library), pci_bus_id] {
    GpuInfo gpu;
    gpu.pci_bus_id = pci_bus_id;
    nvml->read(&gpu);
    const bool is_known = gpu.sensors.power_watts || gpu.sensors.sm_clock_mhz;
    return is_known ? gpu_text(gpu.sensors) : "";
  };
}

std::uint64_t peak_process_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

EnergyMeter::EnergyMeter(const DeviceInfo& info, std::optional<double> earlier, const char* library)
    : earlier_(earlier) {
  if (!earlier_ || !info.gpu || info.gpu->mig.value_or(false)) return;
  bus_id_ = info.gpu->pci_bus_id;
  nvml_.emplace(library);
  begin_ = nvml_->energy_joules(bus_id_);
}

std::optional<double> EnergyMeter::used() const {
  if (!begin_) return std::nullopt;
  const std::optional<double> now = nvml_->energy_joules(bus_id_);
  if (!now || *now < *begin_) return std::nullopt;  // smaller: the driver was reloaded
  return *earlier_ + *now - *begin_;
}

}  // namespace trainer
