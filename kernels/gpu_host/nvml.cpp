// The functions that are loaded, and their binary interface: nvmlReturn_t is an int whose 0 is NVML_SUCCESS,
// nvmlDevice_t an opaque pointer, the enumerations ints (NVML_TEMPERATURE_GPU = 0, NVML_CLOCK_SM = 1,
// NVML_CLOCK_MEM = 2, NVML_MEMORY_ERROR_TYPE_CORRECTED = 0, _UNCORRECTED = 1, NVML_VOLATILE_ECC = 0,
// NVML_AGGREGATE_ECC = 1), units milliwatts, millijoules, MHz, degrees Celsius, percent. Source: NVML API
// Reference, docs.nvidia.com/deploy/nvml-api, "Device Queries", "Device Structs", "nvmlClocksEventReasons"; a
// versioned name (_v2) never changes its interface.
#include "kernels/gpu_host/nvml.hpp"

#include <array>
#include <dlfcn.h>

#include "kernels/gpu_host/library_calls.hpp"
#include "kernels/gpu_host/throttle_reasons.hpp"

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
  void* library = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*by_pci_bus_id)(const char*, NvmlDevice*) = nullptr;
  int (*power)(NvmlDevice, unsigned*) = nullptr;
  int (*power_limit)(NvmlDevice, unsigned*) = nullptr;
  int (*temperature)(NvmlDevice, int, unsigned*) = nullptr;
  int (*clock)(NvmlDevice, int, unsigned*) = nullptr;
  int (*utilization)(NvmlDevice, NvmlUtilization*) = nullptr;
  int (*clock_reasons)(NvmlDevice, unsigned long long*) = nullptr;
  int (*energy)(NvmlDevice, unsigned long long*) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*mig_mode)(NvmlDevice, unsigned*, unsigned*) = nullptr;
  int (*power_default)(NvmlDevice, unsigned*) = nullptr;
  int (*clock_peak)(NvmlDevice, int, unsigned*) = nullptr;
  int (*pcie_generation)(NvmlDevice, unsigned*) = nullptr;
  int (*pcie_lanes)(NvmlDevice, unsigned*) = nullptr;
  int (*pcie_lanes_peak)(NvmlDevice, unsigned*) = nullptr;
  int (*nvlink_state)(NvmlDevice, unsigned, int*) = nullptr;
  int (*processes)(NvmlDevice, unsigned*, void*) = nullptr;
  int (*ecc_errors)(NvmlDevice, int, int, unsigned long long*) = nullptr;
};

namespace {

void find_all(NvmlCalls* calls) {
  void* library = calls->library;
  find_call(library, "nvmlInit_v2", &calls->init);
  find_call(library, "nvmlShutdown", &calls->shutdown);
  find_call(library, "nvmlSystemGetDriverVersion", &calls->driver_version);
  find_call(library, "nvmlDeviceGetHandleByPciBusId_v2", &calls->by_pci_bus_id);
  find_call(library, "nvmlDeviceGetPowerUsage", &calls->power);
  find_call(library, "nvmlDeviceGetEnforcedPowerLimit", &calls->power_limit);
  find_call(library, "nvmlDeviceGetTemperature", &calls->temperature);
  find_call(library, "nvmlDeviceGetClockInfo", &calls->clock);
  find_call(library, "nvmlDeviceGetUtilizationRates", &calls->utilization);
  find_call(library, "nvmlDeviceGetCurrentClocksEventReasons", &calls->clock_reasons);
  find_call(library, "nvmlDeviceGetCurrentClocksThrottleReasons",
            &calls->clock_reasons);  // its name before driver 535
  find_call(library, "nvmlDeviceGetTotalEnergyConsumption", &calls->energy);
  find_call(library, "nvmlDeviceGetMemoryInfo", &calls->memory);
  find_call(library, "nvmlDeviceGetMigMode", &calls->mig_mode);
  find_call(library, "nvmlDeviceGetPowerManagementDefaultLimit", &calls->power_default);
  find_call(library, "nvmlDeviceGetMaxClockInfo", &calls->clock_peak);
  find_call(library, "nvmlDeviceGetCurrPcieLinkGeneration", &calls->pcie_generation);
  find_call(library, "nvmlDeviceGetCurrPcieLinkWidth", &calls->pcie_lanes);
  find_call(library, "nvmlDeviceGetMaxPcieLinkWidth", &calls->pcie_lanes_peak);
  find_call(library, "nvmlDeviceGetNvLinkState", &calls->nvlink_state);
  find_call(library, "nvmlDeviceGetComputeRunningProcesses_v3", &calls->processes);
  find_call(library, "nvmlDeviceGetComputeRunningProcesses_v2", &calls->processes);
  find_call(library, "nvmlDeviceGetComputeRunningProcesses", &calls->processes);
  find_call(library, "nvmlDeviceGetTotalEccErrors", &calls->ecc_errors);
}

// What `call` answers for the arguments; nothing where it is missing or fails.
template <typename Answer, typename Call, typename... Arguments>
std::optional<Answer> ask(Call* call, Arguments... arguments) {
  Answer answer{};
  if (call == nullptr || call(arguments..., &answer) != 0) return std::nullopt;
  return answer;
}

std::optional<double> thousandths(const std::optional<unsigned long long>& value) {
  return value ? std::optional(static_cast<double>(*value) / 1000) : std::nullopt;
}

std::optional<int> whole(const std::optional<unsigned>& value) {
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

constexpr int kSmClock = 1;
constexpr int kMemoryClock = 2;

GpuSensors read_sensors(const NvmlCalls& calls, NvmlDevice device) {
  constexpr int kSensorOfTheGpu = 0;
  GpuSensors sensors;
  sensors.power_watts = thousandths(ask<unsigned>(calls.power, device));
  sensors.power_limit_watts = thousandths(ask<unsigned>(calls.power_limit, device));
  sensors.energy_joules = thousandths(ask<unsigned long long>(calls.energy, device));
  sensors.temperature_celsius = whole(ask<unsigned>(calls.temperature, device, kSensorOfTheGpu));
  sensors.sm_clock_mhz = whole(ask<unsigned>(calls.clock, device, kSmClock));
  sensors.memory_clock_mhz = whole(ask<unsigned>(calls.clock, device, kMemoryClock));
  if (const auto utilization = ask<NvmlUtilization>(calls.utilization, device)) {
    sensors.utilisation_percent = static_cast<int>(utilization->gpu);
  }
  if (const auto reasons = ask<unsigned long long>(calls.clock_reasons, device)) {
    sensors.throttle_reasons = throttle_reasons(*reasons);
  }
  return sensors;
}

// The links that are up among the eighteen that a GPU has at most; nothing where it has none.
std::optional<int> nvlinks_of(const NvmlCalls& calls, NvmlDevice device) {
  constexpr unsigned kMostLinks = 18;
  std::optional<int> up;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    const auto active = ask<int>(calls.nvlink_state, device, link);
    if (active) up = up.value_or(0) + (*active != 0 ? 1 : 0);
  }
  return up;
}

// Asked with room for none, the call answers with their number and NVML_ERROR_INSUFFICIENT_SIZE.
std::optional<int> processes_of(const NvmlCalls& calls, NvmlDevice device) {
  constexpr int kInsufficientSize = 7;
  unsigned count = 0;
  if (calls.processes == nullptr) return std::nullopt;
  const int code = calls.processes(device, &count, nullptr);
  return code == 0 || code == kInsufficientSize ? std::optional(static_cast<int>(count)) : std::nullopt;
}

GpuCondition read_condition(const NvmlCalls& calls, NvmlDevice device) {
  constexpr int kCorrected = 0;
  constexpr int kUncorrected = 1;
  constexpr int kSinceLoad = 0;
  GpuCondition condition;
  condition.power_default_watts = thousandths(ask<unsigned>(calls.power_default, device));
  condition.sm_clock_peak_mhz = whole(ask<unsigned>(calls.clock_peak, device, kSmClock));
  condition.pcie_generation = whole(ask<unsigned>(calls.pcie_generation, device));
  condition.pcie_lanes = whole(ask<unsigned>(calls.pcie_lanes, device));
  condition.pcie_lanes_peak = whole(ask<unsigned>(calls.pcie_lanes_peak, device));
  condition.nvlinks = nvlinks_of(calls, device);
  condition.processes = processes_of(calls, device);
  condition.corrected_errors = ask<unsigned long long>(calls.ecc_errors, device, kCorrected, kSinceLoad);
  condition.uncorrected_errors = ask<unsigned long long>(calls.ecc_errors, device, kUncorrected, kSinceLoad);
  return condition;
}

}  // namespace

Nvml::Nvml(const char* library) {
  auto calls = std::make_unique<NvmlCalls>();
  calls->library = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  if (calls->library == nullptr) return;
  find_all(calls.get());
  start_.loaded = calls->init != nullptr && calls->by_pci_bus_id != nullptr;
  if (start_.loaded) start_.code = calls->init();
  if (!start_.loaded || start_.code != 0) {
    dlclose(calls->library);
    return;
  }
  calls_ = std::move(calls);
}

Nvml::~Nvml() {
  if (!calls_) return;
  if (calls_->shutdown != nullptr) calls_->shutdown();
  dlclose(calls_->library);
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE is 80
  if (!calls_ || calls_->driver_version == nullptr) return "";
  return calls_->driver_version(text.data(), text.size() - 1) == 0 ? text.data() : "";
}

NvmlReading Nvml::read(const std::string& pci_bus_id) const {
  NvmlReading reading;
  if (!calls_) return reading;
  const auto device = ask<NvmlDevice>(calls_->by_pci_bus_id, pci_bus_id.c_str());
  if (!device) return reading;
  reading.sensors = read_sensors(*calls_, *device);
  reading.condition = read_condition(*calls_, *device);
  if (const auto memory = ask<NvmlMemory>(calls_->memory, *device)) reading.free_bytes = memory->free;
  unsigned now = 0;
  unsigned after_reset = 0;
  if (calls_->mig_mode != nullptr && calls_->mig_mode(*device, &now, &after_reset) == 0)
    reading.mig = now != 0;
  return reading;
}

std::optional<double> Nvml::energy_joules(const std::string& pci_bus_id) const {
  if (!calls_) return std::nullopt;
  const auto device = ask<NvmlDevice>(calls_->by_pci_bus_id, pci_bus_id.c_str());
  return device ? thousandths(ask<unsigned long long>(calls_->energy, *device)) : std::nullopt;
}

}  // namespace trainer
