#include "kernels/gpu_host/gpu_surroundings.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>

namespace trainer {

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

std::vector<std::string> device_files(const fs::path& root) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(root / "dev", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.starts_with("nvidia") && !entry->is_directory(ignored)) files.push_back("/dev/" + name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Display and 3D controllers (class 0x03....) of NVIDIA (vendor 0x10de).
int pci_gpus(const fs::path& root) {
  int count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(root / "sys/bus/pci/devices", error), end; !error && entry != end;
       entry.increment(error)) {
    const bool nvidia = first_word_of(entry->path() / "vendor") == "0x10de";
    if (nvidia && first_word_of(entry->path() / "class").starts_with("0x03")) ++count;
  }
  return count;
}

// Fills in where the loader finds the driver's library and which CUDA it says it serves.
void look_at_driver_library(const std::string& name, GpuSurroundings* around) {
  void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return;
  around->driver_library = name;
  // CUresult cuDriverGetVersion(int*), CUDA Driver API, "Version Management"; 0 is success.
  const auto version = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  Dl_info place{};
  if (version != nullptr) {
    if (dladdr(reinterpret_cast<void*>(version), &place) != 0) around->driver_library = place.dli_fname;
    if (version(&around->driver_version) != 0) around->driver_version = 0;
  }
  around->driver_library_version = library_version(around->driver_library);
  dlclose(library);
}

}  // namespace

std::string library_version(const fs::path& library) {
  std::error_code error;
  const fs::path whole = fs::canonical(library, error);
  const std::string name = (error ? library : whole).filename().string();
  const std::size_t end = name.find(".so.");
  const std::string version = end == std::string::npos ? "" : name.substr(end + 4);
  return version.find('.') == std::string::npos ? "" : version;
}

bool inside_container(const fs::path& root) {
  std::error_code error;
  return fs::exists(root / ".dockerenv", error) || fs::exists(root / "run/.containerenv", error) ||
         fs::exists(root / "run/systemd/container", error);
}

std::string kernel_module_version(const fs::path& root) {
  // "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build ..."
  std::ifstream in(root / "proc/driver/nvidia/version");
  for (std::string word; in >> word;) {
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0 && word.find('.') != std::string::npos)
      return word;
  }
  return "";
}

GpuSurroundings look_at_surroundings(const GpuPlaces& places) {
  GpuSurroundings around;
  around.inside_container = inside_container(places.root);
  around.cuda_visible_devices = variable("CUDA_VISIBLE_DEVICES");
  around.nvidia_visible_devices = variable("NVIDIA_VISIBLE_DEVICES");
  around.device_files = device_files(places.root);
  around.pci_gpus = pci_gpus(places.root);
  around.kernel_module = kernel_module_version(places.root);
  look_at_driver_library(places.driver_library, &around);
  return around;
}

}  // namespace trainer
