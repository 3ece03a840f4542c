// What a machine shows of its GPUs to anyone who looks, without a CUDA runtime: the environment, /dev, /proc, /sys and the
// driver's library, loaded at run time. A build without the GPU engine looks too, since it can say whether a build with it would
// have a GPU. This is the only place of kernels/ that reads the environment.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer {

// Where to look; tests play a machine in a folder.
struct GpuPlaces {
  std::filesystem::path root = "/";             // of dev/, proc/, sys/, run/
  std::string driver_library = "libcuda.so.1";  // a name for the loader, or a path
};

// All but the runtime's version.
GpuSurroundings look_at_surroundings(const GpuPlaces& places = {});

// The GPUs, asked of the driver's library alone: what a build without the GPU engine knows of them. Codes of the driver's
// interface (CUresult) and of the runtime's (cudaError_t) have the same numbers where both have one, so gpu_failure.hpp explains
// them as well. The architectures are those of a build with the GPU engine, as it is by default.
std::unique_ptr<GpuProbe> make_driver_probe(const GpuPlaces& places = {});

// "default", "exclusive process" or "prohibited": CUcomputemode and cudaComputeMode have the same numbers.
const char* compute_mode_name(int mode);

// "580.65.06" of ".../libcuda.so.580.65.06", where the links lead to; empty where the name does not say.
std::string library_version(const std::filesystem::path& library);

// Whether Docker, Podman or an init process that was told so (systemd-nspawn, LXC) left its mark there.
bool inside_container(const std::filesystem::path& root = "/");

// "580.65.06", from /proc/driver/nvidia/version; empty where no module is loaded.
std::string kernel_module_version(const std::filesystem::path& root = "/");

}  // namespace trainer
