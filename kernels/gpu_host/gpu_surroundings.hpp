// What a machine shows of its GPUs without a CUDA runtime: the environment, /dev, /proc, /sys and the driver's library,
// loaded at run time. A build without the GPU engine uses this too, to say whether a build with it would have a GPU.
// This is the only place in kernels/ that reads the environment.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer {

// Where to look; tests imitate a machine in a folder.
struct GpuPlaces {
  std::filesystem::path root = "/";             // of dev/, proc/, sys/, run/
  std::string driver_library = "libcuda.so.1";  // a name for the loader, or a path
};

// Fills in all but the runtime's version.
GpuSurroundings look_at_surroundings(const GpuPlaces& places = {});

// Queries the GPUs through the driver's library only, for a build without the GPU engine. Codes of the driver's
// interface (CUresult) and of the runtime's (cudaError_t) have the same numbers if both have one, so gpu_failure.hpp
// explains them as well. The architectures are those of a default build with the GPU engine.
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
