// What a machine trains on, as plain data: the program prints it as the device report, a run's record keeps
// it.
#pragma once

#include <cstdint>
#include <string>

namespace trainer {

struct CpuInfo {
  std::string model;            // "AMD EPYC 9654 ..."
  int cores = 0;                // usable by this process (affinity and cgroup limit)
  int threads = 0;              // used by the engine
  std::string instruction_set;  // that oneDNN picked, "AVX-512"
  std::string loops;            // that the engine's own loops were compiled for: "x86-64-v4"
  std::uint64_t memory_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::string onednn_version;
};

// Whether a GPU can be used, and the reason when it can not.
struct GpuAvailability {
  bool usable = false;
  std::string reason;  // one sentence with the next step: "built without CUDA; ..."
};

struct DeviceInfo {
  std::string kind;  // "cpu" or "cuda"
  std::string name;  // for one line of text
  CpuInfo cpu;
};

}  // namespace trainer
