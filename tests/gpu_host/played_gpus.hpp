// A machine with two good GPUs, played: a test breaks what it is about.
#pragma once

#include <fmt/format.h>
#include <string>

#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer::test {

inline GpuInfo played_gpu(const char* name, int major, int minor) {
  GpuInfo gpu;
  gpu.name = name;
  gpu.major = major;
  gpu.minor = minor;
  gpu.compute_mode = "default";
  return gpu;
}

struct PlayedGpus : GpuProbe {
  Count counted{0, 2};
  int described = 0;
  GpuInfo gpu = played_gpu("NVIDIA H200", 9, 0);
  int opened = 0;
  std::string built = "75-real;80-real;90-real;120-real;120-virtual";
  GpuSurroundings around;

  PlayedGpus() {
    around.device_files = {"/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"};
    around.pci_gpus = 2;
    around.kernel_module = "580.65.06";
    around.driver_library = "/usr/lib/libcuda.so.1";
    around.driver_library_version = "580.65.06";
    around.driver_version = 13000;
    around.runtime_version = 13000;
  }

  Count count() const override { return counted; }
  int describe(int /*device*/, GpuInfo* info) const override {
    *info = gpu;
    return described;
  }
  int open(int /*device*/) const override { return opened; }
  std::string architectures() const override { return built; }
  std::string code_name(int code) const override { return fmt::format("CUDA {}, its text", code); }
  GpuSurroundings surroundings() const override { return around; }

  void fail(int code) { counted = {code, 0}; }
  void take_driver_away() {
    fail(35);
    around.driver_library = around.driver_library_version = around.kernel_module = "";
    around.driver_version = around.pci_gpus = 0;
    around.device_files.clear();
  }
};

}  // namespace trainer::test
