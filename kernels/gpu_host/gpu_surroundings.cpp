// The binary interface of the driver's library: CUresult is an int whose 0 is CUDA_SUCCESS, CUdevice an int, CUcontext a pointer;
// CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20, _COMPUTE_CAPABILITY_MAJOR = 75, _MINOR = 76; CU_COMPUTEMODE_PROHIBITED = 2,
// _EXCLUSIVE_PROCESS = 3. Source: CUDA Driver API, "Version Management", "Device Management", "Primary Context Management"; a
// versioned name (_v2) never changes its interface.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>

#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/loaded_library.hpp"

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

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    entries.push_back(*entry);
  return entries;
}

std::vector<std::string> device_files(const fs::path& root) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : entries_of(root / "dev")) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    if ((name.starts_with("nvidia") || name == "dxg") && !entry.is_directory(ignored))
      files.push_back("/dev/" + name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Display and 3D controllers (class 0x03....) of NVIDIA (vendor 0x10de).
int pci_gpus(const fs::path& root) {
  const std::vector<fs::directory_entry> entries = entries_of(root / "sys/bus/pci/devices");
  return static_cast<int>(std::ranges::count_if(entries, [](const fs::directory_entry& entry) {
    return first_word_of(entry.path() / "vendor") == "0x10de" &&
           first_word_of(entry.path() / "class").starts_with("0x03");
  }));
}

// Fills in where the loader finds the driver's library and which CUDA the library supports.
void look_at_driver_library(const std::string& name, GpuSurroundings* around) {
  const LoadedLibrary driver(name.c_str());
  if (!driver) return;
  around->driver_library = name;
  int (*const version)(int*) = driver.find({"cuDriverGetVersion"});
  Dl_info place{};
  if (version != nullptr) {
    if (dladdr(reinterpret_cast<void*>(version), &place) != 0) around->driver_library = place.dli_fname;
    if (version(&around->driver_version) != 0) around->driver_version = 0;
  }
  around->driver_library_version = library_version(around->driver_library);
}

// Returns the code of `call`; a function that the library lacks is a failure like any other.
template <typename Call, typename... Arguments>
int code_of(Call* call, Arguments... arguments) {
  constexpr int kMissingFunction = 36;  // cudaErrorCallRequiresNewerDriver
  return call == nullptr ? kMissingFunction : call(arguments...);
}

class DriverProbe : public GpuProbe {
 public:
  explicit DriverProbe(const GpuPlaces& places) : places_(places), driver_(places.driver_library.c_str()) {
    constexpr int kNoDriver = 35;  // cudaErrorInsufficientDriver, the runtime's code for this case
    started_ = driver_ ? code_of(init_, 0U) : kNoDriver;
  }

  Count count() const override {
    Count count{started_, 0};
    if (count.code == 0) count.code = code_of(count_, &count.devices);
    if (count.code != 0) count.devices = 0;
    return count;
  }

  int describe(int device, GpuInfo* gpu) const override {
    constexpr int kComputeMode = 20;
    constexpr int kMajor = 75;
    constexpr int kMinor = 76;
    std::array<char, 256> text{};
    int mode = 0;
    int code = code_of(name_, text.data(), static_cast<int>(text.size()) - 1, device);
    if (code == 0) code = code_of(attribute_, &gpu->major, kMajor, device);
    if (code == 0) code = code_of(attribute_, &gpu->minor, kMinor, device);
    if (code == 0) code = code_of(attribute_, &mode, kComputeMode, device);
    gpu->name = text.data();
    gpu->compute_mode = compute_mode_name(mode);
    std::array<char, 32> bus_id{};
    if (code_of(bus_id_, bus_id.data(), static_cast<int>(bus_id.size()) - 1, device) == 0) {
      for (const char* letter = bus_id.data(); *letter != '\0'; ++letter)
        gpu->pci_bus_id += static_cast<char>(std::tolower(static_cast<unsigned char>(*letter)));
    }
    return code;
  }

  int open(int device) const override {
    void* context = nullptr;
    const int code = code_of(retain_, &context, device);
    if (code == 0 && release_ != nullptr) release_(device);
    return code;
  }

  std::string architectures() const override { return "75-virtual"; }

  std::string code_name(int code) const override {
    const char* text = nullptr;
    const bool known = error_text_ != nullptr && error_text_(code, &text) == 0 && text != nullptr;
    return known ? fmt::format("CUDA {}, {}", code, text) : fmt::format("CUDA {}", code);
  }

  GpuSurroundings surroundings() const override { return look_at_surroundings(places_); }

 private:
  GpuPlaces places_;
  LoadedLibrary driver_;
  int (*init_)(unsigned) = driver_.find({"cuInit"});
  int (*count_)(int*) = driver_.find({"cuDeviceGetCount"});
  int (*name_)(char*, int, int) = driver_.find({"cuDeviceGetName"});
  int (*attribute_)(int*, int, int) = driver_.find({"cuDeviceGetAttribute"});
  int (*bus_id_)(char*, int, int) = driver_.find({"cuDeviceGetPCIBusId"});
  int (*retain_)(void**, int) = driver_.find({"cuDevicePrimaryCtxRetain"});
  int (*release_)(int) = driver_.find({"cuDevicePrimaryCtxRelease_v2"});
  int (*error_text_)(int, const char**) = driver_.find({"cuGetErrorString"});
  int started_ = 0;  // the code of cuInit
};

}  // namespace

std::unique_ptr<GpuProbe> make_driver_probe(const GpuPlaces& places) {
  return std::make_unique<DriverProbe>(places);
}

const char* compute_mode_name(int mode) {
  constexpr int kProhibited = 2;
  if (mode == 0) return "default";
  return mode == kProhibited ? "prohibited" : "exclusive process";
}

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

bool is_wsl(const fs::path& root) {
  std::ifstream in(root / "proc/version");
  std::string release;
  in >> release >> release >> release;                   // "Linux version 5.15..."
  return release.find("icrosoft") != std::string::npos;  // WSL 1 begins it with a capital
}

std::string kernel_module_version(const fs::path& root) {
  // "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build ..."
  std::ifstream in(root / "proc/driver/nvidia/version");
  for (std::string word; in >> word;)
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0 && word.find('.') != std::string::npos)
      return word;
  return "";
}

GpuSurroundings look_at_surroundings(const GpuPlaces& places) {
  GpuSurroundings around;
  around.inside_container = inside_container(places.root);
  around.cuda_visible_devices = variable("CUDA_VISIBLE_DEVICES");
  around.nvidia_visible_devices = variable("NVIDIA_VISIBLE_DEVICES");
  around.device_files = device_files(places.root);
  around.wsl = is_wsl(places.root) || has_dxg(around);
  around.pci_gpus = pci_gpus(places.root);
  around.kernel_module = kernel_module_version(places.root);
  look_at_driver_library(places.driver_library, &around);
  return around;
}

}  // namespace trainer
