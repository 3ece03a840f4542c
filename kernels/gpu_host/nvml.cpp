// The functions that are loaded, and their binary interface: nvmlReturn_t is an int whose 0 is NVML_SUCCESS,
// nvmlDevice_t an opaque pointer, the enumerations ints (NVML_TEMPERATURE_GPU = 0, NVML_CLOCK_SM = 1,
// NVML_CLOCK_MEM = 2, NVML_MEMORY_ERROR_TYPE_CORRECTED = 0, _UNCORRECTED = 1, NVML_VOLATILE_ECC = 0), units
// milliwatts, millijoules, MHz, degrees Celsius, percent. Source: NVML API Reference,
// docs.nvidia.com/deploy/nvml-api, "Device Queries", "Device Structs", "nvmlClocksEventReasons"; a versioned
// name (_v2) never changes its interface.
#include "kernels/gpu_host/nvml.hpp"

#include <array>
#include <fmt/format.h>

#include "kernels/gpu_host/loaded_library.hpp"

namespace trainer {

using NvmlDevice = void*;

struct NvmlMemory {  // nvmlMemory_t
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct NvmlUtilization {  // nvmlUtilization_t: percent of the last sample period
  unsigned gpu;
  unsigned memory;
};

struct NvmlCalls {
  explicit NvmlCalls(const char* name) : nvml(name) {}

  LoadedLibrary nvml;
  int (*init)() = nvml.find({"nvmlInit_v2"});
  int (*shutdown)() = nvml.find({"nvmlShutdown"});
  int (*driver_version)(char*, unsigned) = nvml.find({"nvmlSystemGetDriverVersion"});
  int (*count)(unsigned*) = nvml.find({"nvmlDeviceGetCount_v2"});
  int (*by_pci_bus_id)(const char*, NvmlDevice*) = nvml.find({"nvmlDeviceGetHandleByPciBusId_v2"});
  int (*power)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetPowerUsage"});
  int (*power_limit)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetEnforcedPowerLimit"});
  int (*power_default)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetPowerManagementDefaultLimit"});
  int (*temperature)(NvmlDevice, int, unsigned*) = nvml.find({"nvmlDeviceGetTemperature"});
  int (*clock)(NvmlDevice, int, unsigned*) = nvml.find({"nvmlDeviceGetClockInfo"});
  int (*clock_peak)(NvmlDevice, int, unsigned*) = nvml.find({"nvmlDeviceGetMaxClockInfo"});
  int (*utilization)(NvmlDevice, NvmlUtilization*) = nvml.find({"nvmlDeviceGetUtilizationRates"});
  int (*clock_reasons)(NvmlDevice, unsigned long long*) =
      nvml.find({"nvmlDeviceGetCurrentClocksEventReasons",
                 "nvmlDeviceGetCurrentClocksThrottleReasons"});  // the name until driver 535
  int (*energy)(NvmlDevice, unsigned long long*) = nvml.find({"nvmlDeviceGetTotalEnergyConsumption"});
  int (*memory)(NvmlDevice, NvmlMemory*) = nvml.find({"nvmlDeviceGetMemoryInfo"});
  int (*mig_mode)(NvmlDevice, unsigned*, unsigned*) = nvml.find({"nvmlDeviceGetMigMode"});
  int (*pcie_generation)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetCurrPcieLinkGeneration"});
  int (*pcie_generation_peak)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetMaxPcieLinkGeneration"});
  int (*pcie_lanes)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetCurrPcieLinkWidth"});
  int (*pcie_lanes_peak)(NvmlDevice, unsigned*) = nvml.find({"nvmlDeviceGetMaxPcieLinkWidth"});
  int (*nvlink_state)(NvmlDevice, unsigned, int*) = nvml.find({"nvmlDeviceGetNvLinkState"});
  int (*processes)(NvmlDevice, unsigned*, void*) = nvml.find({"nvmlDeviceGetComputeRunningProcesses_v3",
                                                              "nvmlDeviceGetComputeRunningProcesses_v2",
                                                              "nvmlDeviceGetComputeRunningProcesses"});
  int (*ecc_errors)(NvmlDevice, int, int, unsigned long long*) = nvml.find({"nvmlDeviceGetTotalEccErrors"});
};

namespace {

// The answer of `call` for the arguments; nothing if the function is missing or fails.
template <typename Answer, typename Call, typename... Arguments>
std::optional<Answer> ask(Call* call, Arguments... arguments) {
  Answer answer{};
  if (call == nullptr || call(arguments..., &answer) != 0) return std::nullopt;
  return answer;
}

std::optional<double> thousandths(const std::optional<unsigned long long>& value) {
  return value ? std::optional(static_cast<double>(*value) / 1000) : std::nullopt;
}

// How many of a GPU's links, at most eighteen, are up; nothing if it has none.
std::optional<int> nvlinks_of(const NvmlCalls& calls, NvmlDevice device) {
  constexpr unsigned kMostLinks = 18;
  std::optional<int> up;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    const auto active = ask<int>(calls.nvlink_state, device, link);
    if (active) up = up.value_or(0) + (*active != 0 ? 1 : 0);
  }
  return up;
}

// Called with room for none, NVML returns the number of processes and NVML_ERROR_INSUFFICIENT_SIZE.
std::optional<int> processes_of(const NvmlCalls& calls, NvmlDevice device) {
  constexpr int kInsufficientSize = 7;
  unsigned count = 0;
  if (calls.processes == nullptr) return std::nullopt;
  const int code = calls.processes(device, &count, nullptr);
  return code == 0 || code == kInsufficientSize ? std::optional(static_cast<int>(count)) : std::nullopt;
}

GpuSensors read_sensors(const NvmlCalls& calls, NvmlDevice device) {
  constexpr int kGpuSensor = 0;
  constexpr int kSmClock = 1;
  constexpr int kMemoryClock = 2;
  constexpr int kCorrected = 0;
  constexpr int kUncorrected = 1;
  constexpr int kSinceLoad = 0;
  GpuSensors sensors;
  sensors.power_watts = thousandths(ask<unsigned>(calls.power, device));
  sensors.power_limit_watts = thousandths(ask<unsigned>(calls.power_limit, device));
  sensors.power_default_watts = thousandths(ask<unsigned>(calls.power_default, device));
  sensors.energy_joules = thousandths(ask<unsigned long long>(calls.energy, device));
  sensors.temperature_celsius = ask<unsigned>(calls.temperature, device, kGpuSensor);
  sensors.sm_clock_mhz = ask<unsigned>(calls.clock, device, kSmClock);
  sensors.memory_clock_mhz = ask<unsigned>(calls.clock, device, kMemoryClock);
  sensors.sm_clock_peak_mhz = ask<unsigned>(calls.clock_peak, device, kSmClock);
  if (const auto utilization = ask<NvmlUtilization>(calls.utilization, device))
    sensors.utilisation_percent = static_cast<int>(utilization->gpu);
  if (const auto reasons = ask<unsigned long long>(calls.clock_reasons, device))
    sensors.throttle_reasons = throttle_reasons(*reasons);
  sensors.pcie_generation = ask<unsigned>(calls.pcie_generation, device);
  sensors.pcie_generation_peak = ask<unsigned>(calls.pcie_generation_peak, device);
  sensors.pcie_lanes = ask<unsigned>(calls.pcie_lanes, device);
  sensors.pcie_lanes_peak = ask<unsigned>(calls.pcie_lanes_peak, device);
  sensors.nvlinks = nvlinks_of(calls, device);
  sensors.processes = processes_of(calls, device);
  sensors.corrected_errors = ask<unsigned long long>(calls.ecc_errors, device, kCorrected, kSinceLoad);
  sensors.uncorrected_errors = ask<unsigned long long>(calls.ecc_errors, device, kUncorrected, kSinceLoad);
  return sensors;
}

}  // namespace

Nvml::Nvml(const char* library) {
  auto calls = std::make_unique<NvmlCalls>(library);
  if (calls->init == nullptr || calls->by_pci_bus_id == nullptr) return;
  start_ = calls->init();
  if (start_ == 0) calls_ = std::move(calls);
}

Nvml::~Nvml() {
  if (calls_ && calls_->shutdown != nullptr) calls_->shutdown();
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE is 80
  if (!calls_ || calls_->driver_version == nullptr) return "";
  return calls_->driver_version(text.data(), text.size() - 1) == 0 ? text.data() : "";
}

std::optional<int> Nvml::devices() const {
  return calls_ ? ask<unsigned>(calls_->count) : std::nullopt;
}

void* Nvml::device(const std::string& pci_bus_id) const {
  return calls_ ? ask<NvmlDevice>(calls_->by_pci_bus_id, pci_bus_id.c_str()).value_or(nullptr) : nullptr;
}

void Nvml::read(GpuInfo* gpu) const {
  const NvmlDevice found = device(gpu->pci_bus_id);
  if (found == nullptr) return;
  gpu->sensors = read_sensors(*calls_, found);
  if (const auto memory = ask<NvmlMemory>(calls_->memory, found)) gpu->free_bytes = memory->free;
  unsigned now = 0;
  unsigned after_reset = 0;
  if (calls_->mig_mode != nullptr && calls_->mig_mode(found, &now, &after_reset) == 0) gpu->mig = now != 0;
}

std::optional<double> Nvml::energy_joules(const std::string& pci_bus_id) const {
  const NvmlDevice found = device(pci_bus_id);
  return found != nullptr ? thousandths(ask<unsigned long long>(calls_->energy, found)) : std::nullopt;
}

std::vector<std::string> throttle_reasons(unsigned long long bits) {
  static constexpr std::array kNames{
      "idle",                       // 0x001 GpuIdle
      "application clocks set",     // 0x002 ApplicationsClocksSetting
      "power limit",                // 0x004 SwPowerCap
      "hardware slowdown",          // 0x008 HwSlowdown
      "sync boost group",           // 0x010 SyncBoost
      "temperature limit",          // 0x020 SwThermalSlowdown
      "hardware temperature stop",  // 0x040 HwThermalSlowdown
      "external power brake",       // 0x080 HwPowerBrakeSlowdown
      "display clocks set",         // 0x100 DisplayClockSetting
  };
  std::vector<std::string> reasons;
  for (std::size_t bit = 0; bit < kNames.size(); ++bit)
    if ((bits >> bit & 1) != 0) reasons.emplace_back(kNames[bit]);
  const unsigned long long unknown = bits >> kNames.size() << kNames.size();
  if (unknown != 0) reasons.push_back(fmt::format("reason {:#x}", unknown));
  return reasons;
}

}  // namespace trainer
