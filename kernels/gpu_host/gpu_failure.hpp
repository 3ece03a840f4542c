// Why a GPU cannot be used, told apart: the CUDA runtime gives one code for several causes, so the machine is
// looked at as well. The asking goes through GpuProbe, so that tests play every failure on a machine without
// a GPU; codes are those of cudaError_t, as numbers, since a build without CUDA has these texts too. The texts are
// rows of failures/*.yaml; here is which of them applies, and what the machine puts into them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {

// What the machine shows of its GPUs, looked up once something failed.
struct GpuSurroundings {
  bool inside_container = false;
  std::optional<std::string> cuda_visible_devices;    // the variable of this name
  std::optional<std::string> nvidia_visible_devices;  // the variable of this name
  std::vector<std::string> device_files;              // "/dev/nvidia0", ...
  int pci_gpus = 0;                                   // NVIDIA's on the PCI bus
  std::string kernel_module;                          // "580.65.06"; empty where none is loaded
  std::string driver_library;                         // path of libcuda.so.1; empty where it cannot be loaded
  std::string driver_library_version;                 // "580.65.06", if its name says so
  int driver_version = 0;                             // CUDA that libcuda.so.1 serves: 13000; 0 unknown
  int runtime_version = 0;                            // CUDA that this program was built with
};

// The questions; an answer's code is 0 where it is one.
class GpuProbe {
 public:
  virtual ~GpuProbe() = default;
  struct Count {
    int code = 0;
    int devices = 0;
  };
  virtual Count count() const = 0;
  // Fills in name, compute capability, compute mode and, where it is known, PCI bus id; gives a code.
  virtual int describe(int device, GpuInfo* gpu) const = 0;
  virtual int open(int device) const = 0;             // makes the device's context; gives a code
  virtual std::string architectures() const = 0;      // built in, as CMake writes them
  virtual std::string code_name(int code) const = 0;  // "cudaErrorNoDevice (100)"
  virtual GpuSurroundings surroundings() const = 0;
};

// The probe of this build: the CUDA runtime's, or without the GPU engine the driver's own (gpu_surroundings.hpp).
std::unique_ptr<GpuProbe> open_gpu_probe();
bool has_gpu_engine();  // whether this build has it

// Nothing where `device` can be used. Its context is open then.
std::optional<Failure> find_gpu_failure(const GpuProbe& probe, int device);

std::string cuda_version_text(int version);  // "13.0" of 13000

}  // namespace trainer
