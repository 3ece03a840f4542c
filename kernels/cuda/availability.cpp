#include "kernels/cuda/availability.hpp"

#include <algorithm>
#include <cstdlib>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>

#include "kernels/backend.hpp"
#include "kernels/cuda/device_info.hpp"

namespace trainer::cuda {

namespace fs = std::filesystem;

namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

std::string first_word_of(const fs::path& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

std::vector<std::string> device_files() {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry("/dev", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.starts_with("nvidia") && !entry->is_directory(ignored)) files.push_back(entry->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Display and 3D controllers (class 0x03....) of NVIDIA (vendor 0x10de).
int pci_gpus() {
  int count = 0;
  std::error_code error;
  for (fs::directory_iterator entry("/sys/bus/pci/devices", error), end; !error && entry != end;
       entry.increment(error)) {
    const bool nvidia = first_word_of(entry->path() / "vendor") == "0x10de";
    if (nvidia && first_word_of(entry->path() / "class").starts_with("0x03")) ++count;
  }
  return count;
}

// Fills in where the loader finds libcuda.so.1 and which CUDA it says it serves.
void look_at_driver_library(GpuSurroundings* around) {
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return;
  around->driver_library = "libcuda.so.1";
  // CUresult cuDriverGetVersion(int*), CUDA Driver API, "Version Management"; 0 is success.
  const auto version = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  Dl_info place{};
  if (version != nullptr) {
    if (dladdr(reinterpret_cast<void*>(version), &place) != 0) around->driver_library = place.dli_fname;
    if (version(&around->driver_version) != 0) around->driver_version = 0;
  }
  dlclose(library);
}

class RuntimeProbe : public GpuProbe {
 public:
  Count count() const override {
    Count count;
    count.code = cudaGetDeviceCount(&count.devices);
    if (count.code != cudaSuccess) count.devices = 0;
    (void)cudaGetLastError();
    return count;
  }

  GpuTraits traits(int device) const override {
    cudaDeviceProp properties{};
    GpuTraits traits;
    traits.code = cudaGetDeviceProperties(&properties, device);
    if (traits.code == cudaSuccess) traits.code = read_compute_mode(device, &traits.compute_mode);
    (void)cudaGetLastError();
    traits.name = properties.name;
    traits.major = properties.major;
    traits.minor = properties.minor;
    return traits;
  }

  int open(int device) const override {
    cudaError_t code = cudaSetDevice(device);
    if (code == cudaSuccess) code = cudaFree(nullptr);
    (void)cudaGetLastError();
    return code;
  }

  std::string architectures() const override { return compiled_architectures(); }

  std::string code_name(int code) const override {
    const auto error = static_cast<cudaError_t>(code);
    return fmt::format("CUDA {}, {}: {}", code, cudaGetErrorName(error), cudaGetErrorString(error));
  }

  GpuSurroundings surroundings() const override {
    GpuSurroundings around;
    std::error_code error;
    around.inside_container = fs::exists("/.dockerenv", error) || fs::exists("/run/.containerenv", error);
    around.cuda_visible_devices = variable("CUDA_VISIBLE_DEVICES");
    around.nvidia_visible_devices = variable("NVIDIA_VISIBLE_DEVICES");
    around.device_files = device_files();
    around.pci_gpus = pci_gpus();
    around.kernel_module = kernel_module_version();
    look_at_driver_library(&around);
    (void)cudaRuntimeGetVersion(&around.runtime_version);
    return around;
  }
};

}  // namespace

std::unique_ptr<GpuProbe> open_gpu_probe() {
  return std::make_unique<RuntimeProbe>();
}

void require_device(int device) {
  if (const std::optional<GpuFailure> failure = find_gpu_failure(RuntimeProbe(), device)) {
    throw BackendError(fmt::format("--device cuda:{}: {}", device, failure->text()));
  }
}

}  // namespace trainer::cuda

namespace trainer {

GpuAvailability gpu_availability() {
  const std::optional<GpuFailure> failure = find_gpu_failure(*cuda::open_gpu_probe(), 0);
  return {!failure, failure ? failure->text() : ""};
}

}  // namespace trainer
