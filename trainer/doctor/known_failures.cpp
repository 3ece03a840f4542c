#include "trainer/doctor/known_failures.hpp"

#include <fmt/format.h>
#include <stdexcept>

#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer::doctor {

namespace {

// A row whose texts are those for the runtime's code.
KnownFailure of_code(const std::string& key, int code, std::vector<std::string> patterns) {
  const GpuFailure failure = explain_gpu_code(code, fmt::format("CUDA {}", code), {});
  return {key, exit_class(failure.trouble), std::move(patterns), {code}, failure.cause, failure.next_step};
}

const char* const kGpusFlag = "'docker run --gpus all' (Podman and CDI: --device nvidia.com/gpu=all)";

std::vector<KnownFailure> container_failures() {
  return {
      {"container-toolkit",
       ExitClass::container,
       {"could not select device driver ... with capabilities", "unknown or invalid runtime name: nvidia",
        "unknown runtime specified nvidia"},
       {},
       "Docker knows no NVIDIA runtime: the NVIDIA Container Toolkit is absent, Docker was not restarted "
       "after its installation, or this is Docker from a snap or a Docker Desktop without GPU support",
       "install nvidia-container-toolkit, then 'sudo nvidia-ctk runtime configure --runtime=docker && sudo "
       "systemctl restart docker'; not with Docker's snap package"},
      {"container-cdi",
       ExitClass::container,
       {"unresolvable CDI devices", "failed to inject CDI devices", "stat nvidia.com/gpu=all"},
       {},
       "no CDI description of the GPUs was written on this host",
       "'sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml', again after every driver upgrade"},
      {"container-driver-library",
       ExitClass::container,
       {"load library failed: libnvidia-ml.so", "libnvidia-ml.so.1: cannot open shared object file"},
       {},
       "the NVIDIA Container Toolkit is here without a driver, or Docker runs inside a snap, a VM or Docker "
       "Desktop, which do not see the host's driver",
       "install the NVIDIA driver on the host; 'docker context ls' tells which Docker it is"},
      {"container-requirement",
       ExitClass::driver_version,
       {"requirement error: unsatisfied condition: cuda", "unsatisfied condition: cuda",
        "unsatisfied condition: driver", "unsatisfied condition: brand"},
       {},
       "the image asks for a newer CUDA (NVIDIA_REQUIRE_CUDA) than the host's driver serves",
       "install a newer driver on the host, or take an image of an older CUDA"},
      {"container-no-gpu",
       ExitClass::container,
       {"no GPU was given to this container", "The NVIDIA Driver was not detected. GPU functionality",
        "this container has the GPU's device files but not the driver's library",
        "NVIDIA_VISIBLE_DEVICES keeps every GPU from this container", "container runs, but on the CPU"},
       {},
       "the container was started without a GPU, or without the driver's compute library",
       fmt::format("start it with {} and NVIDIA_DRIVER_CAPABILITIES=compute,utility", kGpusFlag)},
      {"container-rights",
       ExitClass::container,
       {"Failed to initialize NVML: Unknown Error", "this container may not use the GPUs whose files it has"},
       {},
       "'systemctl daemon-reload' on the host took the running container's rights to the devices (cgroups)",
       "start a new container, best with CDI: --device nvidia.com/gpu=all; or \"exec-opts\": "
       "[\"native.cgroupdriver=cgroupfs\"] in Docker's daemon.json"},
      {"container-selinux",
       ExitClass::container,
       {"Failed to initialize NVML: Insufficient Permissions"},
       {},
       "SELinux, or the rights of /dev/nvidia*, keep the process from the GPU",
       "start the container with --security-opt=label=disable, or mend the rights of /dev/nvidia*"},
  };
}

std::vector<KnownFailure> driver_failures() {
  return {
      {"driver-not-loaded",
       ExitClass::no_driver,
       {"nvml error: driver not loaded", "initialization error: driver not loaded",
        "Failed to initialize NVML: Driver Not Loaded", "couldn't communicate with the NVIDIA driver",
        "there is no NVIDIA driver", "Found no NVIDIA driver on your system"},
       {},
       "the nvidia kernel module is not loaded: no driver, a kernel update without a rebuilt module (DKMS), "
       "a module that Secure Boot refuses, or no reboot since",
       "see whether 'nvidia-smi' works on the host, then 'sudo modprobe nvidia', a reboot, or the driver "
       "anew; "
       "with Secure Boot sign the module"},
      {"driver-mismatch",
       ExitClass::driver_version,
       {"driver/library version mismatch"},
       {},
       "the driver's packages were upgraded under a loaded kernel module of the version before",
       "reboot, or unload and load the nvidia modules"},
      {"driver-library",
       ExitClass::no_driver,
       {"libcuda.so.1 cannot be loaded although the NVIDIA kernel module",
        "libcuda.so.1: cannot open shared object file", "failed call to cuInit",
        "could not load dynamic library 'libcuda.so.1'"},
       {},
       "the driver's library libcuda.so.1 is not where the loader looks: no driver, a driver without its "
       "compute libraries, or a container without a GPU",
       fmt::format("install the driver's libraries (Debian: libcuda1, Ubuntu: libnvidia-compute-*) and run "
                   "'sudo ldconfig'; a container is started with {}",
                   kGpusFlag)},
      {"driver-too-old",
       ExitClass::driver_version,
       {"CUDA driver version is insufficient for CUDA runtime version", "cudaErrorInsufficientDriver",
        "the NVIDIA driver is too old", "driver on your system is too old"},
       {35},
       "one code, two causes: no libcuda.so.1 at all (no driver, or a container started without a GPU), or a "
       "driver that is older than the CUDA that the program was built with",
       fmt::format(
           "'trainer doctor' on that machine tells which; install a driver (CUDA 13 needs 580 or newer, "
           "CUDA 12 needs 525), or start the container with {}",
           kGpusFlag)},
      {"no-gpu",
       ExitClass::no_device,
       {"this machine has no NVIDIA GPU to be seen"},
       {},
       "the machine has no NVIDIA GPU, neither on its PCI bus nor a driver for one",
       "train with --device cpu, or on a machine with a GPU and its driver"},
  };
}

std::vector<KnownFailure> driver_codes() {
  return {
      of_code("driver-stub", 34,
              {"CUDA driver is a stub library", "cudaErrorStubLibrary",
               "is the toolkit's stub, not the driver's library"}),
      of_code(
          "driver-ptx", 222,
          {"the provided PTX was compiled with an unsupported toolchain", "cudaErrorUnsupportedPtxVersion",
           "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "this program's PTX is newer than the driver"}),
      of_code(
          "driver-combination", 803,
          {"system has unsupported display driver / cuda driver combination", "cudaErrorSystemDriverMismatch",
           "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "does not belong to the loaded driver"}),
      of_code("driver-compat", 804,
              {"forward compatibility was attempted on non supported HW",
               "cudaErrorCompatNotSupportedOnDevice", "is a forward-compatibility library"}),
  };
}

std::vector<KnownFailure> device_failures() {
  return {
      {"device-hidden",
       ExitClass::no_device,
       {"no CUDA-capable device is detected", "cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE",
        "No CUDA GPUs are available", "No devices were found", "CUDA_VISIBLE_DEVICES is empty",
        "CUDA_VISIBLE_DEVICES= ... names no GPU that is here", "the NVIDIA driver finds no GPU"},
       {100},
       "a driver, but no device: CUDA_VISIBLE_DEVICES is empty or names none, NVIDIA_VISIBLE_DEVICES=none, "
       "or the device files /dev/nvidia* are not here",
       "unset CUDA_VISIBLE_DEVICES, or set it to a number of 'nvidia-smi -L'; 'trainer doctor' prints both "
       "variables and the files"},
      {"device-number",
       ExitClass::no_device,
       {"invalid device ordinal", "cudaErrorInvalidDevice", "CUDA_ERROR_INVALID_DEVICE",
        "there is no GPU ... this process sees"},
       {101},
       "the program asked for a GPU by a number that this process does not see",
       "choose one that 'trainer devices' lists; CUDA_VISIBLE_DEVICES counts them anew from 0"},
      {"device-code",
       ExitClass::no_code,
       {"no kernel image is available for execution on the device", "cudaErrorNoKernelImageForDevice",
        "CUDA_ERROR_NO_BINARY_FOR_GPU", "cannot run this program, which was built for",
        "this program holds no code for the GPU's compute capability"},
       {209},
       "the program holds neither machine code nor PTX for the GPU's compute capability",
       "'trainer devices' shows both beside each other; rebuild with -DCMAKE_CUDA_ARCHITECTURES=native. CUDA "
       "13 starts at 7.5 (T4), CUDA 12.9 with cuDNN 9.10.2 still builds for 7.0 (V100), CUDA 11.8 was the "
       "last "
       "for 3.7 (K80)"},
      {"device-precision",
       ExitClass::no_code,
       {"compute capability ... which came with 8.0; choose", "has no products of bf16, which came with"},
       {},
       "the device does not compute in the precision that was asked for",
       "choose fp32 or fp16 on a GPU before compute capability 8.0, fp32 on a CPU without AVX512-BF16"},
      {"device-engine",
       ExitClass::no_code,
       {"built without the GPU engine"},
       {},
       "this build of the trainer holds no GPU engine (TRAINER_CUDA=OFF)",
       "./scripts/train.sh builds one where a CUDA toolkit and cuDNN 9 are, or take the image"},
      of_code("device-busy", 46,
              {"CUDA-capable device(s) is/are busy or unavailable", "cudaErrorDevicesUnavailable",
               "CUDA_ERROR_DEVICE_UNAVAILABLE", "is busy or closed to this process",
               "the GPU is busy or closed"}),
      {"device-memory",
       ExitClass::busy,
       {"CUDA out of memory", "CUDA error: out of memory", "cudaErrorMemoryAllocation",
        "CUDA_ERROR_OUT_OF_MEMORY", "out of GPU memory", "out of memory",
        "the GPU has not even memory for a context left"},
       {},
       "the GPU's memory does not hold what was asked for: another process has it, or the batch is too large",
       "end the process that 'nvidia-smi' shows, choose another GPU with --device cuda:N, or a smaller "
       "--batch"},
  };
}

std::vector<KnownFailure> machine_failures() {
  return {
      of_code("machine-fabric", 802,
              {"system not yet initialized", "cudaErrorSystemNotReady", "CUDA_ERROR_SYSTEM_NOT_READY",
               "the NVSwitch fabric ... is not up"}),
      of_code("machine-uvm", 999,
              {"CUDA unknown error", "cudaErrorUnknown", "CUDA_ERROR_UNKNOWN", "CUDA error: unknown error",
               "the driver fails without saying why"}),
      {"machine-files",
       ExitClass::machine,
       {"/dev/nvidiactl: No such file", "/dev/nvidia-uvm: No such file", "/dev/nvidia0: No such file"},
       {},
       "the driver's kernel module is loaded, but the device files to reach it through are not here",
       "'sudo nvidia-modprobe -u -c 0', or the service nvidia-persistenced"},
      {"machine-memory-errors",
       ExitClass::machine,
       {"uncorrectable ECC error encountered", "cudaErrorECCUncorrectable", "double bit error"},
       {214},
       "the GPU's memory fails, beyond what ECC corrects: results cannot be trusted",
       "'sudo nvidia-smi -r' or a reboot; if it comes back, have the GPU replaced"},
      {"machine-lost",
       ExitClass::machine,
       {"GPU has fallen off the bus", "GPU is lost", "Unable to determine the device handle"},
       {},
       "the GPU no longer answers on the PCI bus: power, heat, its seat in the slot, or the GPU itself",
       "reboot; if it comes back, look at power cables and temperature, then have the GPU replaced"},
      {"machine-xid",
       ExitClass::machine,
       {"NVRM: Xid"},
       {},
       "the driver logged a fault (Xid) of the GPU, or of a program on it",
       "look its number up in NVIDIA's list of Xid errors: 13, 31 and 43 are mostly a program's, 48, 63, 64, "
       "94 and 95 the memory's, 79 the bus's; 'trainer doctor --all' counts them and tests the GPU"},
      {"machine-kernel",
       ExitClass::machine,
       {"an illegal memory access was encountered", "unspecified launch failure", "cudaErrorIllegalAddress",
        "cudaErrorLaunchFailure", "the CUDA runtime fails with CUDA"},
       {700, 719},
       "a kernel failed on the device: an error of the program, or of the GPU",
       "run it again, and 'trainer doctor --all' for the GPU; what fails alike each time is the program's: "
       "scripts/gpu_check.sh finds the kernel with compute-sanitizer"},
  };
}

std::vector<KnownFailure> library_failures() {
  return {
      {"libraries-cudnn",
       ExitClass::libraries,
       {"Unable to load any of ... libcudnn", "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED",
        "CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "CUDNN_STATUS_VERSION_MISMATCH",
        "Could not load library libcudnn", "Invalid handle. Cannot load symbol cudnn"},
       {},
       "cuDNN's sub-libraries are missing or of several versions: it loads graph, ops, cnn, heuristic, "
       "engines_precompiled and engines_runtime_compiled by name at run time (and libz.so.1 with them), so "
       "that ldd does not show them",
       "install cuDNN 9 whole and once (the package cudnn9-cuda-13 or -12), and take other copies out of "
       "LD_LIBRARY_PATH"},
      {"libraries-cublas",
       ExitClass::libraries,
       {"error while loading shared libraries: libcublas",
        "libcublasLt.so ... cannot open shared object file",
        "libcublas.so ... cannot open shared object file", "Could not load library libcublas",
        "Invalid handle. Cannot load symbol cublas", "undefined symbol: cublas",
        "version libcublasLt.so ... not found", "version libcublas.so ... not found"},
       {},
       "cuBLASLt is missing, or of another CUDA than the program: a folder in LD_LIBRARY_PATH, often that of "
       "a Python environment, comes before the right one",
       "install the cuBLAS of the build's CUDA (the package libcublas-13-0 or the like, then 'sudo "
       "ldconfig'), "
       "and take other copies out of LD_LIBRARY_PATH"},
      {"libraries-missing",
       ExitClass::libraries,
       {"error while loading shared libraries: libcudnn", "error while loading shared libraries: libcudart",
        "libcudnn.so ... cannot open shared object file", "libcudart.so ... cannot open shared object file"},
       {},
       "the program is linked with a CUDA library that the loader does not find",
       "install the CUDA runtime libraries and cuDNN 9 of the build's version, then 'sudo ldconfig', or name "
       "their folder in LD_LIBRARY_PATH"},
  };
}

}  // namespace

std::vector<KnownFailure> known_failures() {
  std::vector<KnownFailure> all = container_failures();
  for (const auto& part :
       {driver_failures(), driver_codes(), device_failures(), machine_failures(), library_failures()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

KnownFailure known_failure(std::string_view key) {
  for (KnownFailure& failure : known_failures())
    if (failure.key == key) return std::move(failure);
  throw std::logic_error(fmt::format("no known failure is called {}", key));
}

}  // namespace trainer::doctor
