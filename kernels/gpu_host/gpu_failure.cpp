#include "kernels/gpu_host/gpu_failure.hpp"

#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"

namespace trainer {

namespace {

// Of cudaError_t (driver_types.h); they have kept their numbers since CUDA 10.1.
enum Code {
  kOutOfMemory = 2,
  kStubLibrary = 34,
  kInsufficientDriver = 35,
  kDevicesUnavailable = 46,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kNoKernelImage = 209,
  kUnsupportedPtx = 222,
  kSystemNotReady = 802,
  kDriverMismatch = 803,
  kCompatNotSupported = 804,
  kUnknown = 999,
};

const char* const kGpusFlag = "'docker run --gpus all' (Podman: --device nvidia.com/gpu=all)";
const char* const kLookAtDriver =
    "see whether 'nvidia-smi' works on the host, then 'sudo modprobe nvidia', a reboot, or the driver anew";

std::string variable_text(const std::optional<std::string>& value) {
  if (!value) return "unset";
  return value->empty() ? "empty" : "'" + *value + "'";
}

std::string files_text(const GpuSurroundings& around) {
  std::string text;
  for (const std::string& file : around.device_files) text += (text.empty() ? "" : " ") + file;
  return text.empty() ? "no /dev/nvidia*" : text;
}

// What decides which devices a process sees.
std::string visibility_text(const GpuSurroundings& around) {
  return fmt::format("CUDA_VISIBLE_DEVICES {}, NVIDIA_VISIBLE_DEVICES {}, device files: {}",
                     variable_text(around.cuda_visible_devices), variable_text(around.nvidia_visible_devices),
                     files_text(around));
}

std::string libcuda_text(const GpuSurroundings& around) {
  if (around.driver_library.empty()) return "libcuda.so.1";
  if (around.driver_version == 0) return around.driver_library;
  return fmt::format("{} (CUDA {})", around.driver_library, cuda_version_text(around.driver_version));
}

std::string module_text(const GpuSurroundings& around) {
  return around.kernel_module.empty() ? "kernel module not visible" : "kernel module " + around.kernel_module;
}

GpuFailure no_driver_library(const GpuSurroundings& around) {
  if (around.inside_container && !around.device_files.empty()) {
    return {GpuTrouble::container,
            "this container has the GPU's device files but not the driver's library libcuda.so.1",
            fmt::format("start it with {} and NVIDIA_DRIVER_CAPABILITIES=compute,utility", kGpusFlag)};
  }
  if (around.inside_container) {
    return {
        GpuTrouble::container,
        "no GPU was given to this container: libcuda.so.1 and /dev/nvidia*, which its start adds, are not "
        "here",
        fmt::format("start it with {}, on a machine with an NVIDIA GPU and driver", kGpusFlag)};
  }
  if (!around.kernel_module.empty()) {
    return {GpuTrouble::no_driver,
            fmt::format("libcuda.so.1 cannot be loaded although the NVIDIA kernel module {} is",
                        around.kernel_module),
            "install the driver's libraries of that version (Debian: libcuda1, Ubuntu: libnvidia-compute-*), "
            "then "
            "run 'sudo ldconfig'"};
  }
  if (around.pci_gpus > 0 || !around.device_files.empty()) {
    return {
        GpuTrouble::no_driver,
        fmt::format(
            "there is no NVIDIA driver (no libcuda.so.1, no kernel module) for the {} of this machine",
            around.pci_gpus > 1 ? fmt::format("{} NVIDIA GPUs", around.pci_gpus) : "NVIDIA GPU"),
        "install the driver (Debian: nvidia-driver, Ubuntu: 'sudo ubuntu-drivers install'), reboot, and see "
        "whether 'nvidia-smi' works"};
  }
  return {GpuTrouble::no_gpu,
          "this machine has no NVIDIA GPU to be seen: no libcuda.so.1, no /dev/nvidia*, none on the PCI bus",
          "train with --device cpu, or on a machine with a GPU and its driver"};
}

std::string driver_needed(int runtime_version) {
  const int major = runtime_version / 1000;
  if (major == 12) return "driver 525 or newer";
  if (major == 13) return "driver 580 or newer";
  return fmt::format("a driver for CUDA {}", cuda_version_text(runtime_version));
}

GpuFailure insufficient_driver(const std::string& name, const GpuSurroundings& around) {
  if (around.driver_library.empty()) return no_driver_library(around);
  const std::string serves = around.driver_version > 0
                                 ? "serves CUDA " + cuda_version_text(around.driver_version) + " at most"
                                 : "does not say which CUDA it serves";
  return {GpuTrouble::driver_version,
          fmt::format("the NVIDIA driver is too old: {} ({}) {}, this program needs CUDA {} ({})",
                      around.driver_library, module_text(around), serves,
                      cuda_version_text(around.runtime_version), name),
          fmt::format("install {}, or a build of this program for the CUDA that the driver serves",
                      driver_needed(around.runtime_version))};
}

bool hides_every_gpu(const std::string& value) {
  return value.empty() || value == "none" || value == "void";
}

GpuFailure no_device(const std::string& name, const GpuSurroundings& around) {
  const std::string seen = fmt::format("{}, {}", name, visibility_text(around));
  if (around.cuda_visible_devices) {
    return {GpuTrouble::no_device,
            around.cuda_visible_devices->empty()
                ? fmt::format("CUDA_VISIBLE_DEVICES is empty, which hides every GPU ({})", seen)
                : fmt::format("CUDA_VISIBLE_DEVICES='{}' names no GPU that is here ({})",
                              *around.cuda_visible_devices, seen),
            "unset it, or set it to a GPU's number in 'nvidia-smi -L'"};
  }
  if (around.inside_container && around.nvidia_visible_devices &&
      hides_every_gpu(*around.nvidia_visible_devices)) {
    return {GpuTrouble::container,
            fmt::format("NVIDIA_VISIBLE_DEVICES keeps every GPU from this container ({})", seen),
            fmt::format("start it with {} and NVIDIA_VISIBLE_DEVICES=all", kGpusFlag)};
  }
  if (around.inside_container && around.device_files.empty()) {
    return {GpuTrouble::container, fmt::format("no GPU was given to this container ({})", seen),
            fmt::format("start it with {}", kGpusFlag)};
  }
  if (around.inside_container) {
    return {
        GpuTrouble::container,
        fmt::format("this container may not use the GPUs whose files it has ({})", seen),
        fmt::format("start a new one with {}: 'systemctl daemon-reload' on the host takes the rights away",
                    kGpusFlag)};
  }
  return {GpuTrouble::no_device,
          fmt::format("the NVIDIA driver finds no GPU, {} ({})", module_text(around), seen), kLookAtDriver};
}

GpuFailure driver_mismatch(const std::string& name, const GpuSurroundings& around) {
  return {GpuTrouble::driver_version,
          fmt::format("{} does not belong to the loaded driver{} ({})", libcuda_text(around),
                      around.kernel_module.empty() ? "" : ", " + module_text(around), name),
          around.inside_container
              ? "take the libcuda or the CUDA 'compat' folder that the image brings out of LD_LIBRARY_PATH"
              : "reboot after a driver's upgrade, or take other libcuda copies out of LD_LIBRARY_PATH"};
}

GpuFailure out_of_range(const GpuProbe& probe, int device, int devices) {
  const GpuSurroundings around = probe.surroundings();
  return {
      GpuTrouble::no_device,
      fmt::format("there is no GPU {}: this process sees {} ({})", device,
                  devices == 1 ? "one, cuda:0" : fmt::format("{}, cuda:0 to cuda:{}", devices, devices - 1),
                  visibility_text(around)),
      "choose one that 'trainer devices' lists"};
}

std::string device_text(int device, const GpuTraits& traits) {
  return fmt::format("GPU {}, {} of compute capability {}.{}", device, traits.name, traits.major,
                     traits.minor);
}

GpuFailure no_code(int device, const GpuTraits& traits, const GpuArchitectures& built) {
  return {GpuTrouble::no_code,
          fmt::format("{}, cannot run this program, which was built for {}", device_text(device, traits),
                      architectures_text(built)),
          rebuild_advice(traits.major, traits.minor)};
}

GpuFailure closed(int device, const GpuTraits& traits, const std::string& name) {
  return {GpuTrouble::busy,
          fmt::format("{}, is busy or closed to this process: compute mode {} ({})",
                      device_text(device, traits), traits.compute_mode, name),
          "end the process that 'nvidia-smi' shows, or 'sudo nvidia-smi -c DEFAULT', or make an instance "
          "where MIG "
          "is on, or choose another with --device cuda:N"};
}

}  // namespace

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

GpuFailure explain_gpu_code(int code, const std::string& name, const GpuSurroundings& around) {
  switch (code) {
    case kInsufficientDriver:
      return insufficient_driver(name, around);
    case kNoDevice:
    case kInvalidDevice:
      return no_device(name, around);
    case kDriverMismatch:
      return driver_mismatch(name, around);
    case kStubLibrary:
      return {
          GpuTrouble::driver_version,
          fmt::format("{} is the toolkit's stub, not the driver's library ({})", libcuda_text(around), name),
          "take the toolkit's 'stubs' folder out of LD_LIBRARY_PATH"};
    case kOutOfMemory:
      return {
          GpuTrouble::busy, fmt::format("the GPU has not even memory for a context left ({})", name),
          "end the process that holds it ('nvidia-smi' shows it), or choose another with --device cuda:N"};
    case kDevicesUnavailable:
      return {GpuTrouble::busy, fmt::format("the GPU is busy or closed to this process ({})", name),
              "see its compute mode and processes in 'nvidia-smi', or choose another with --device cuda:N"};
    case kNoKernelImage:
      return {
          GpuTrouble::no_code,
          fmt::format("this program holds no code for the GPU's compute capability ({})", name),
          "rebuild with -DCMAKE_CUDA_ARCHITECTURES=native; 'trainer devices' shows what it was built for"};
    case kUnsupportedPtx:
      return {GpuTrouble::driver_version,
              fmt::format("this program's PTX is newer than the driver, {} ({})", libcuda_text(around), name),
              "install a newer driver, or rebuild with machine code for this GPU "
              "(-DCMAKE_CUDA_ARCHITECTURES=native)"};
    case kSystemNotReady:
      return {
          GpuTrouble::fault, fmt::format("the NVSwitch fabric of this machine is not up ({})", name),
          "start nvidia-fabricmanager of the driver's version: 'sudo systemctl start nvidia-fabricmanager'"};
    case kCompatNotSupported:
      return {
          GpuTrouble::driver_version,
          fmt::format("{} is a forward-compatibility library, which this GPU or driver does not take ({})",
                      libcuda_text(around), name),
          "update the driver, or take the CUDA 'compat' folder out of LD_LIBRARY_PATH"};
    case kUnknown:
      return {GpuTrouble::fault,
              fmt::format("the driver fails without saying why, often since the module nvidia-uvm is missing "
                          "(device files: {}, {})",
                          files_text(around), name),
              "run 'sudo nvidia-modprobe -u' on the host"};
    default:
      return {GpuTrouble::fault, fmt::format("the CUDA runtime fails with {}", name), kLookAtDriver};
  }
}

std::optional<GpuFailure> find_gpu_failure(const GpuProbe& probe, int device) {
  const GpuProbe::Count count = probe.count();
  if (count.code != 0 || count.devices == 0) {
    const int code = count.code != 0 ? count.code : kNoDevice;
    return explain_gpu_code(code, probe.code_name(code), probe.surroundings());
  }
  if (device < 0 || device >= count.devices) return out_of_range(probe, device, count.devices);
  const GpuTraits traits = probe.traits(device);
  if (traits.code != 0) {
    return explain_gpu_code(traits.code, probe.code_name(traits.code), probe.surroundings());
  }
  const GpuArchitectures built = parse_architectures(probe.architectures());
  if (code_for(built, traits.major, traits.minor).kind == GpuCode::Kind::none) {
    return no_code(device, traits, built);
  }
  const int code = probe.open(device);
  if (code == 0) return std::nullopt;
  if (code == kDevicesUnavailable) return closed(device, traits, probe.code_name(code));
  return explain_gpu_code(code, probe.code_name(code), probe.surroundings());
}

}  // namespace trainer
