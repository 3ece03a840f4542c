// The binary interface of what is loaded: CUresult is an int whose 0 is CUDA_SUCCESS, CUdevice an int,
// CUcontext a pointer; CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20, _COMPUTE_CAPABILITY_MAJOR = 75, _MINOR = 76;
// CU_COMPUTEMODE_PROHIBITED = 2, _EXCLUSIVE_PROCESS = 3. Source: CUDA Driver API, "Device Management",
// "Primary Context Management"; a versioned name (_v2) never changes its interface.
#include "kernels/gpu_host/gpu_driver.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <dlfcn.h>
#include <fmt/format.h>

#include "kernels/gpu_host/library_calls.hpp"

namespace trainer {

struct DriverCalls {
  void* library = nullptr;
  int (*start)(unsigned) = nullptr;
  int (*count)(int*) = nullptr;
  int (*name)(char*, int, int) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*bus_id)(char*, int, int) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*release)(int) = nullptr;
  int (*error_text)(int, const char**) = nullptr;
};

namespace {

constexpr int kNoDriver = 35;         // cudaErrorInsufficientDriver, which the runtime gives for it
constexpr int kMissingFunction = 36;  // cudaErrorCallRequiresNewerDriver

std::unique_ptr<DriverCalls> load(const std::string& name) {
  auto calls = std::make_unique<DriverCalls>();
  calls->library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (calls->library == nullptr) return nullptr;
  find_call(calls->library, "cuInit", &calls->start);
  find_call(calls->library, "cuDeviceGetCount", &calls->count);
  find_call(calls->library, "cuDeviceGetName", &calls->name);
  find_call(calls->library, "cuDeviceGetAttribute", &calls->attribute);
  find_call(calls->library, "cuDeviceGetPCIBusId", &calls->bus_id);
  find_call(calls->library, "cuDevicePrimaryCtxRetain", &calls->retain);
  find_call(calls->library, "cuDevicePrimaryCtxRelease_v2", &calls->release);
  find_call(calls->library, "cuGetErrorString", &calls->error_text);
  return calls;
}

// The code of `call`; a function that the library lacks is a failure like any other.
template <typename Call, typename... Arguments>
int code_of(Call* call, Arguments... arguments) {
  return call == nullptr ? kMissingFunction : call(arguments...);
}

const char* mode_name(int mode) {
  constexpr int kProhibited = 2;
  if (mode == 0) return "default";
  return mode == kProhibited ? "prohibited" : "exclusive process";
}

}  // namespace

DriverProbe::DriverProbe(GpuPlaces places)
    : places_(std::move(places)), calls_(load(places_.driver_library)) {
  started_ = calls_ ? code_of(calls_->start, 0U) : kNoDriver;
}

DriverProbe::~DriverProbe() {
  if (calls_) dlclose(calls_->library);
}

GpuProbe::Count DriverProbe::count() const {
  Count count{started_, 0};
  if (count.code == 0) count.code = code_of(calls_->count, &count.devices);
  if (count.code != 0) count.devices = 0;
  return count;
}

GpuTraits DriverProbe::traits(int device) const {
  constexpr int kComputeMode = 20;
  constexpr int kMajor = 75;
  constexpr int kMinor = 76;
  GpuTraits traits;
  std::array<char, 256> text{};
  int mode = 0;
  const std::array codes{code_of(calls_->name, text.data(), static_cast<int>(text.size()) - 1, device),
                         code_of(calls_->attribute, &traits.major, kMajor, device),
                         code_of(calls_->attribute, &traits.minor, kMinor, device),
                         code_of(calls_->attribute, &mode, kComputeMode, device)};
  const auto* failed = std::find_if(codes.begin(), codes.end(), [](int code) { return code != 0; });
  traits.code = failed == codes.end() ? 0 : *failed;
  traits.name = text.data();
  traits.compute_mode = mode_name(mode);
  std::array<char, 32> bus_id{};
  if (code_of(calls_->bus_id, bus_id.data(), static_cast<int>(bus_id.size()) - 1, device) == 0) {
    for (const char* letter = bus_id.data(); *letter != '\0'; ++letter)
      traits.pci_bus_id += static_cast<char>(std::tolower(static_cast<unsigned char>(*letter)));
  }
  return traits;
}

int DriverProbe::open(int device) const {
  void* context = nullptr;
  const int code = code_of(calls_->retain, &context, device);
  if (code == 0 && calls_->release != nullptr) calls_->release(device);
  return code;
}

std::string DriverProbe::architectures() const {
  return "75-virtual";
}

std::string DriverProbe::code_name(int code) const {
  const char* text = nullptr;
  const bool known = calls_ && calls_->error_text != nullptr && calls_->error_text(code, &text) == 0;
  return known && text != nullptr ? fmt::format("CUDA {}, {}", code, text) : fmt::format("CUDA {}", code);
}

GpuSurroundings DriverProbe::surroundings() const {
  return look_at_surroundings(places_);
}

}  // namespace trainer
