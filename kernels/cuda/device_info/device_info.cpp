// The GPUs of this process: attributes from the CUDA runtime, the rest from NVML. This uses only what CUDA 12 and 13
// both have: 13 removed clocks and compute mode from cudaDeviceProp but kept the attributes. The runtime says whether a
// GPU can be used; the machine is examined (look_at_surroundings) only after a failure.
#include "kernels/cuda/device_info/device_info.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"
#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/loaded_library.hpp"
#include "kernels/gpu_host/nvml.hpp"

namespace trainer::cuda {

namespace {

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

// Groups of 4, 2, 2, 2 and 6 bytes, as nvidia-smi writes it.
std::string uuid_text(const cudaUUID_t& uuid, bool mig) {
  std::string text = mig ? "MIG" : "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

std::vector<bool> peers_of(int device) {
  std::vector<bool> peers;
  for (int peer = 0; peer < device_count(); ++peer) {
    int possible = 1;
    if (peer != device) check(cudaDeviceCanAccessPeer(&possible, device, peer), "cudaDeviceCanAccessPeer");
    peers.push_back(possible != 0);
  }
  return peers;
}

void read_attributes(int device, GpuInfo* gpu) {
  gpu->major = device_attribute(cudaDevAttrComputeCapabilityMajor, device);
  gpu->minor = device_attribute(cudaDevAttrComputeCapabilityMinor, device);
  gpu->sm_clock_khz = device_attribute(cudaDevAttrClockRate, device);
  gpu->memory_clock_khz = device_attribute(cudaDevAttrMemoryClockRate, device);
  gpu->bus_width_bits = device_attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  gpu->multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount, device);
  gpu->l2_bytes = device_attribute(cudaDevAttrL2CacheSize, device);
  gpu->shared_bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  gpu->registers = device_attribute(cudaDevAttrMaxRegistersPerMultiprocessor, device);
  gpu->warp_size = device_attribute(cudaDevAttrWarpSize, device);
  gpu->ecc = device_attribute(cudaDevAttrEccEnabled, device) != 0;
}

void read_own_memory(GpuInfo* gpu) {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  gpu->free_bytes = free;
  gpu->total_bytes = total;
}

std::string version_of(cudaError_t (*ask)(int*)) {
  int version = 0;
  return ask(&version) == cudaSuccess && version > 0 ? cuda_version_text(version) : "";
}

// ncclGetVersion (nccl.h): 0 is success; 10000 major + 100 minor + patch, with 1000 for 10000 before 2.9.
std::string nccl_version() {
  const LoadedLibrary nccl("libnccl.so.2");
  int (*const ask)(int*) = nccl.find({"ncclGetVersion"});
  int version = 0;
  if (ask == nullptr || ask(&version) != 0) return "";
  const int major = version < 10000 ? 1000 : 10000;
  return fmt::format("{}.{}.{}", version / major, version % major / 100, version % 100);
}

GpuSoftware read_software(const Nvml& nvml) {
  GpuSoftware software;
  software.driver = nvml.driver_version();
  if (software.driver.empty()) software.driver = kernel_module_version();
  software.wsl = is_wsl();
  software.driver_cuda = version_of(cudaDriverGetVersion);
  software.runtime = version_of(cudaRuntimeGetVersion);
  software.nccl = nccl_version();
  software.architectures = TRAINER_CUDA_ARCHITECTURES;
  return software;
}

// "default", "exclusive process" or "prohibited".
cudaError_t read_compute_mode(int device, std::string* mode) {
  int value = 0;
  const cudaError_t code = cudaDeviceGetAttribute(&value, cudaDevAttrComputeMode, device);
  *mode = compute_mode_name(value);
  return code;
}

// Reads the PCI bus id in lower case.
cudaError_t read_pci_bus_id(int device, std::string* id) {
  std::array<char, 32> text{};
  const cudaError_t code = cudaDeviceGetPCIBusId(text.data(), text.size(), device);
  *id = text.data();
  std::transform(id->begin(), id->end(), id->begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return code;
}

// Throws CudaError. `in_use`: this is the current device, whose free memory the runtime reports. For any other device
// NVML does, since the runtime would first create a context there, which takes hundreds of megabytes.
GpuInfo read_gpu(int device, const Nvml& nvml, bool in_use) {
  GpuInfo gpu;
  gpu.index = device;
  read_attributes(device, &gpu);
  check(read_compute_mode(device, &gpu.compute_mode), "cudaDeviceGetAttribute");
  check(read_pci_bus_id(device, &gpu.pci_bus_id), "cudaDeviceGetPCIBusId");
  gpu.peers = peers_of(device);
  nvml.read(&gpu);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  gpu.name = properties.name;
  gpu.uuid = uuid_text(properties.uuid, gpu.mig.value_or(false));
  gpu.total_bytes = properties.totalGlobalMem;
  if (in_use) read_own_memory(&gpu);
  return gpu;
}

using Clock = std::chrono::steady_clock;
using DeviceMemory = Handle<void, cudaFree>;

// Copies between two GPUs go directly, over NVLink or PCIe, if they can reach each other, else through the host.
constexpr std::size_t kBytes = 64ULL << 20U;
constexpr int kRounds = 8;

// The memory of `device`, which becomes the current device.
DeviceMemory memory_of(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  return made<DeviceMemory>([](void** memory) { check(cudaMalloc(memory, kBytes), "cudaMalloc"); });
}

// Lets the current device reach `peer`, if it can.
void enable_access(int device, int peer) {
  int possible = 0;
  check(cudaDeviceCanAccessPeer(&possible, device, peer), "cudaDeviceCanAccessPeer");
  if (possible == 0) return;
  const cudaError_t code = cudaDeviceEnablePeerAccess(peer, 0);
  static_cast<void>(cudaGetLastError());
  if (code != cudaErrorPeerAccessAlreadyEnabled) check(code, "cudaDeviceEnablePeerAccess");
}

double copy_rate(int from, int to) {
  const DeviceMemory source = memory_of(from);
  const DeviceMemory target = memory_of(to);
  enable_access(to, from);
  double best = 0;
  for (int round = 0; round <= kRounds; ++round) {
    const Clock::time_point start = Clock::now();
    check(cudaMemcpyPeerAsync(target.get(), to, source.get(), from, kBytes, nullptr), "cudaMemcpyPeerAsync");
    check(cudaStreamSynchronize(nullptr), "a copy between GPUs");
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (round > 0) best = std::max(best, kBytes / seconds);
  }
  return best;
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

  int describe(int device, GpuInfo* gpu) const override {
    cudaDeviceProp properties{};
    cudaError_t code = cudaGetDeviceProperties(&properties, device);
    if (code == cudaSuccess) code = read_compute_mode(device, &gpu->compute_mode);
    if (code == cudaSuccess) code = read_pci_bus_id(device, &gpu->pci_bus_id);
    (void)cudaGetLastError();
    gpu->name = properties.name;
    gpu->major = properties.major;
    gpu->minor = properties.minor;
    return code;
  }

  int open(int device) const override {
    cudaError_t code = cudaSetDevice(device);
    if (code == cudaSuccess) code = cudaFree(nullptr);
    (void)cudaGetLastError();
    return code;
  }

  std::string architectures() const override { return TRAINER_CUDA_ARCHITECTURES; }

  std::string code_name(int code) const override {
    const auto error = static_cast<cudaError_t>(code);
    return fmt::format("CUDA {}, {}: {}", code, cudaGetErrorName(error), cudaGetErrorString(error));
  }

  GpuSurroundings surroundings() const override {
    GpuSurroundings around = look_at_surroundings();
    (void)cudaRuntimeGetVersion(&around.runtime_version);
    return around;
  }
};

}  // namespace

void require_device(int device) {
  if (const std::optional<Failure> failure = find_gpu_failure(RuntimeProbe(), device))
    throw BackendError(fmt::format("--device cuda:{}: {}", device, failure->text()));
}

DeviceInfo describe_device(int device, const std::string& cudnn, const std::string& cublas) {
  const Nvml nvml;
  DeviceInfo info;
  info.kind = "cuda";
  info.cpu = describe_cpu(1);
  for (int index = 0; index < device_count(); ++index)
    info.gpus.push_back(read_gpu(index, nvml, index == device));
  info.gpu = info.gpus.at(static_cast<std::size_t>(device));
  info.name = fmt::format("GPU {}: {}", device, info.gpu->name);
  info.gpu_software = read_software(nvml);
  info.gpu_software->cudnn = cudnn;
  info.gpu_software->cublas = cublas;
  return info;
}

}  // namespace trainer::cuda

namespace trainer {

std::vector<GpuInfo> all_gpus() {
  const int count = cuda::RuntimeProbe().count().devices;
  const Nvml nvml;
  std::vector<GpuInfo> gpus;
  for (int index = 0; index < count; ++index) {
    try {
      gpus.push_back(cuda::read_gpu(index, nvml, false));
    } catch (const cuda::CudaError&) {
      (void)cudaGetLastError();
    }
  }
  return gpus;
}

bool has_gpu_engine() {
  return true;
}

std::unique_ptr<GpuProbe> open_gpu_probe() {
  return std::make_unique<cuda::RuntimeProbe>();
}

GpuAvailability gpu_availability() {
  const std::optional<Failure> failure = find_gpu_failure(*open_gpu_probe(), 0);
  return {!failure, failure ? failure->text() : ""};
}

std::optional<double> peer_bytes_per_second(int from, int to) {
  const int count = cuda::RuntimeProbe().count().devices;
  if (from == to || std::min(from, to) < 0 || std::max(from, to) >= count) return std::nullopt;
  int current = 0;
  cuda::check(cudaGetDevice(&current), "cudaGetDevice");
  const double rate = cuda::copy_rate(from, to);
  cuda::check(cudaSetDevice(current), "cudaSetDevice");
  return rate;
}

}  // namespace trainer
