// The devices that a machine trains on, as plain data: the program prints it as the device report and keeps it
// in a run's record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trainer {

struct CpuInfo {
  std::string model;                 // "AMD EPYC 9654 ..."
  int cores = 0;                     // usable by this process (affinity and quota)
  std::optional<double> quota = {};  // what its control groups allow, in cores
  int threads = 0;                   // used by the engine
  std::string instruction_set;       // the one that oneDNN picked: "AVX-512"
  std::string loops;                 // the one that the engine's own loops were compiled for: "x86-64-v4"
  std::uint64_t memory_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::string onednn_version;
  bool as_shards = false;  // more cores are usable, but a batch has no more shards
};

// Whether a GPU can be used, and the reason if it cannot.
struct GpuAvailability {
  bool usable = false;
  std::string reason;  // one sentence with the next step: "built without CUDA; ..."
};

// What NVML reports about a GPU: its state at this moment, its limits, and its memory errors so far. A value is empty if NVML is
// absent or the GPU does not report it.
struct GpuSensors {
  std::optional<double> power_watts = {};
  std::optional<double> power_limit_watts = {};
  std::optional<int> temperature_celsius = {};
  std::optional<int> utilisation_percent = {};
  std::optional<int> sm_clock_mhz = {};
  std::optional<int> memory_clock_mhz = {};
  // The reasons in words; an empty list: the clocks are at their peak.
  std::optional<std::vector<std::string>> throttle_reasons = {};
  std::optional<double> energy_joules = {};        // since the driver was loaded
  std::optional<double> power_default_watts = {};  // the factory power limit
  std::optional<int> sm_clock_peak_mhz = {};
  std::optional<int> pcie_generation = {};
  std::optional<int> pcie_lanes = {};
  std::optional<int> pcie_lanes_peak = {};
  std::optional<int> pcie_generation_peak = {};          // what the GPU and the slot have in common
  std::optional<int> nvlinks = {};                       // active links
  std::optional<int> processes = {};                     // computing on this GPU, this one included
  std::optional<std::uint64_t> corrected_errors = {};    // ECC memory errors since the driver was loaded
  std::optional<std::uint64_t> uncorrected_errors = {};  // ECC memory errors since the driver was loaded
};

struct GpuInfo {
  int index = 0;  // N of --device cuda:N
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int sm_clock_khz = 0;      // peak
  int memory_clock_khz = 0;  // peak
  int bus_width_bits = 0;
  std::string pci_bus_id;  // in lower case
  std::string uuid;
  std::uint64_t total_bytes = 0;
  std::optional<std::uint64_t> free_bytes;
  int multiprocessors = 0;
  std::uint64_t l2_bytes = 0;
  std::uint64_t shared_bytes = 0;  // per multiprocessor
  int registers = 0;               // per multiprocessor, 32 bits each
  int warp_size = 0;
  bool ecc = false;
  std::string compute_mode;  // "default", "exclusive process", "prohibited"
  std::optional<bool> mig;
  std::vector<bool> peers;  // [GPU]: whether this GPU can access that GPU's memory; itself: true
  GpuSensors sensors;
};

// The versions of the GPU software; empty: unknown.
struct GpuSoftware {
  std::string driver;       // "580.65.06"
  std::string driver_cuda;  // the newest CUDA version that the driver supports, "13.0"
  std::string runtime;      // the CUDA that this program was built with
  std::string cudnn;
  std::string cublas;
  std::string nccl;           // found on this machine; this program does not use it
  std::string architectures;  // the GPU architectures that the program was compiled for, in CMake's form
  bool wsl = false;           // the driver is that of Windows, which does not pass on all that NVML tells
};

struct DeviceInfo {
  std::string kind;  // "cpu" or "cuda"
  std::string name;  // for one line of text
  CpuInfo cpu;
  std::optional<GpuInfo> gpu;  // the one in use
  std::vector<GpuInfo> gpus;   // all that this process sees, including the one in use
  std::optional<GpuSoftware> gpu_software;
};

}  // namespace trainer
