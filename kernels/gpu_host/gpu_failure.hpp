// Finds out why a GPU cannot be used. The CUDA runtime gives one code for several causes, so the machine is examined as
// well. All queries go through GpuProbe, so that tests can simulate every failure on a machine without a GPU. Codes are
// those of cudaError_t, as numbers, since a build without CUDA has these texts too. The texts are rows of
// failures/*.yaml; this chooses the row that applies and fills in what the machine shows.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"
#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {

// What the machine shows of its GPUs, looked up after a failure.
struct GpuSurroundings {
  bool inside_container = false;
  bool wsl = false;  // Windows' subsystem for Linux, whose driver is that of Windows
  std::optional<std::string> cuda_visible_devices;    // the variable of this name
  std::optional<std::string> nvidia_visible_devices;  // the variable of this name
  std::vector<std::string> device_files;              // "/dev/nvidia0", ...
  int pci_gpus = 0;                                   // NVIDIA's on the PCI bus
  std::string kernel_module;                          // "580.65.06"; empty if none is loaded
  std::string driver_library;                         // path of libcuda.so.1; empty if it cannot be loaded
  std::string driver_library_version;                 // "580.65.06", if its name says so
  int driver_version = 0;   // newest CUDA that libcuda.so.1 supports: 13000; 0: unknown
  int runtime_version = 0;  // CUDA that this program was built with
};

// Whether Windows shares a GPU, of whatever maker, with WSL 2; it stands in place of /dev/nvidia*.
bool has_dxg(const GpuSurroundings& around);

// The queries; each returns a code, which is 0 on success.
class GpuProbe {
 public:
  virtual ~GpuProbe() = default;
  struct Count {
    int code = 0;
    int devices = 0;
  };
  virtual Count count() const = 0;
  // Fills in name, compute capability, compute mode and, if known, PCI bus id; returns a code.
  virtual int describe(int device, GpuInfo* gpu) const = 0;
  virtual int open(int device) const = 0;             // creates the device's context; returns a code
  virtual std::string architectures() const = 0;      // of this program, as CMake writes them
  virtual std::string code_name(int code) const = 0;  // "cudaErrorNoDevice (100)"
  virtual GpuSurroundings surroundings() const = 0;
};

// The probe of this build: that of the CUDA runtime or, without the GPU engine, of the driver (make_driver_probe).
std::unique_ptr<GpuProbe> open_gpu_probe();
bool has_gpu_engine();  // whether this build has one

// Nothing if `device` can be used; its context is then open.
std::optional<Failure> find_gpu_failure(const GpuProbe& probe, int device);

std::string cuda_version_text(int version);  // "13.0" of 13000

// What a machine shows of its GPUs without a CUDA runtime: the environment, /dev, /proc, /sys and the driver's library, loaded at run
// time (gpu_surroundings.cpp, the only place in kernels/ that reads the environment). A build without the GPU engine uses this too, to say
// whether a build with it would have a GPU. These are the places where it looks; tests imitate a machine in a folder.
struct GpuPlaces {
  std::filesystem::path root = "/";             // of dev/, proc/, sys/, run/
  std::string driver_library = "libcuda.so.1";  // a name for the loader, or a path
};

// Fills in all but the runtime's version.
GpuSurroundings look_at_surroundings(const GpuPlaces& places = {});

// Queries the GPUs through the driver's library only, for a build without the GPU engine. Codes of the driver's
// interface (CUresult) and of the runtime's (cudaError_t) have the same numbers if both have one, so they are explained
// alike. The architectures are those of a default build with the GPU engine.
std::unique_ptr<GpuProbe> make_driver_probe(const GpuPlaces& places = {});

// "default", "exclusive process" or "prohibited": CUcomputemode and cudaComputeMode have the same numbers.
const char* compute_mode_name(int mode);

// "580.65.06" from ".../libcuda.so.580.65.06", the target of the links; empty if that name has no version.
std::string library_version(const std::filesystem::path& library);

// Whether Docker, Podman or an init process that knows of its container (systemd-nspawn, LXC) left its mark there.
bool inside_container(const std::filesystem::path& root = "/");

// Whether the kernel is that of WSL: the release in /proc/version is like "5.15.153.1-microsoft-standard-WSL2".
bool is_wsl(const std::filesystem::path& root = "/");

// "580.65.06", from /proc/driver/nvidia/version; empty if no module is loaded.
std::string kernel_module_version(const std::filesystem::path& root = "/");

}  // namespace trainer
