// The runtime's device queries, answered from the emulated machine.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

thread_local int device_in_use = 0;

const Device* find_device(int number) {
  const auto& devices = state().machine.devices;
  if (number < 0 || static_cast<std::size_t>(number) >= devices.size()) return nullptr;
  return &devices[static_cast<std::size_t>(number)];
}

struct PciAddress {
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned device = 0;
};

PciAddress pci_address(const Device& device) {
  PciAddress address;
  std::sscanf(device.pci_bus_id.c_str(), "%x:%x:%x", &address.domain, &address.bus, &address.device);
  return address;
}

constexpr int kSharedPerBlock = 48 << 10;
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr int kRegisters = 65536;

// Kepler to Hopper, as in NVIDIA's table of compute capabilities.
int shared_per_multiprocessor(const Device& device) {
  const int capability = device.major * 10 + device.minor;
  if (capability == 75) return 64 << 10;
  if (capability < 70) return 112 << 10;
  if (capability < 80) return 96 << 10;
  if (capability == 80) return 164 << 10;
  return device.major == 8 || device.major == 12 ? 100 << 10 : 228 << 10;
}

int pci_attribute(const Device& device, cudaDeviceAttr wanted) {
  const PciAddress address = pci_address(device);
  if (wanted == cudaDevAttrPciBusId) return static_cast<int>(address.bus);
  if (wanted == cudaDevAttrPciDeviceId) return static_cast<int>(address.device);
  return wanted == cudaDevAttrPciDomainId ? static_cast<int>(address.domain) : -1;
}

int attribute(const Device& device, cudaDeviceAttr wanted) {
  switch (wanted) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
      return 1024;
    case cudaDevAttrMaxGridDimX:
      return 0x7FFFFFFF;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return kSharedPerBlock;
    case cudaDevAttrTotalConstantMemory:
      return 64 << 10;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return kRegisters;
    case cudaDevAttrClockRate:
      return device.clock_khz;
    case cudaDevAttrMultiProcessorCount:
      return device.multiprocessors;
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
      return 0;
    case cudaDevAttrComputeMode:
      return device.compute_mode;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrManagedMemory:
      return 1;
    case cudaDevAttrEccEnabled:
      return device.ecc ? 1 : 0;
    case cudaDevAttrMemoryClockRate:
      return device.memory_clock_khz;
    case cudaDevAttrGlobalMemoryBusWidth:
      return device.bus_width_bits;
    case cudaDevAttrL2CacheSize:
      return device.l2_bytes;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kThreadsPerMultiprocessor;
    case cudaDevAttrAsyncEngineCount:
      return 2;
    case cudaDevAttrComputeCapabilityMajor:
      return device.major;
    case cudaDevAttrComputeCapabilityMinor:
      return device.minor;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return shared_per_multiprocessor(device);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return shared_per_multiprocessor(device) - 1024;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1024;
    default:
      return pci_attribute(device, wanted);
  }
}

void fill_limits(cudaDeviceProp& properties) {
  properties.sharedMemPerBlock = kSharedPerBlock;
  properties.regsPerBlock = properties.regsPerMultiprocessor = kRegisters;
  properties.warpSize = 32;
  properties.maxThreadsPerBlock = 1024;
  constexpr int kBlock[3] = {1024, 1024, 64};
  constexpr int kGrid[3] = {0x7FFFFFFF, 65535, 65535};
  std::copy(kBlock, kBlock + 3, properties.maxThreadsDim);
  std::copy(kGrid, kGrid + 3, properties.maxGridSize);
  properties.totalConstMem = 64 << 10;
  properties.canMapHostMemory = properties.concurrentKernels = properties.unifiedAddressing = 1;
  properties.managedMemory = 1;
  properties.asyncEngineCount = 2;
  properties.maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
  properties.maxBlocksPerMultiProcessor = 32;
  properties.reservedSharedMemPerBlock = 1024;
}

cudaDeviceProp describe(const Device& device) {
  cudaDeviceProp properties{};
  fill_limits(properties);
  device.name.copy(properties.name, sizeof properties.name - 1);
  device.uuid.copy(properties.uuid.bytes, sizeof properties.uuid.bytes);
  properties.totalGlobalMem = device.total_bytes;
  properties.major = device.major;
  properties.minor = device.minor;
  properties.multiProcessorCount = device.multiprocessors;
  properties.ECCEnabled = device.ecc ? 1 : 0;
  const PciAddress address = pci_address(device);
  properties.pciBusID = static_cast<int>(address.bus);
  properties.pciDeviceID = static_cast<int>(address.device);
  properties.pciDomainID = static_cast<int>(address.domain);
  properties.memoryBusWidth = device.bus_width_bits;
  properties.l2CacheSize = device.l2_bytes;
  properties.sharedMemPerMultiprocessor = static_cast<std::size_t>(shared_per_multiprocessor(device));
  properties.sharedMemPerBlockOptin = properties.sharedMemPerMultiprocessor - 1024;
  return properties;
}

// Looks up the device and passes it to `body`.
template <typename Body>
cudaError_t with_device(std::string_view name, int number, Body body) {
  return call(name, Rule::device, [&]() -> cudaError_t {
    const Device* device = find_device(number);
    if (device == nullptr) return cudaErrorInvalidDevice;
    body(*device);
    return cudaSuccess;
  });
}

}  // namespace

int current_device() {
  return device_in_use;
}

Device tesla_t4() {
  Device device;
  device.name = "Tesla T4";
  device.major = 7;
  device.minor = 5;
  device.multiprocessors = 40;
  return device;
}

Device tesla_k80() {
  Device device;
  device.name = "Tesla K80";
  device.major = 3;
  device.minor = 7;
  device.clock_khz = 823500;
  device.memory_clock_khz = 2505000;
  device.bus_width_bits = 384;
  device.multiprocessors = 13;
  device.l2_bytes = 1536 << 10;
  device.pci_bus_id = "06C3:00:00.0";
  device.total_bytes = std::size_t{11439} << 20U;  // 11.17 GiB
  device.free_bytes = std::size_t{11377} << 20U;   // 11.11 GiB
  device.ecc = true;
  return device;
}

}  // namespace emulator

using emulator::call;
using emulator::Device;
using emulator::Rule;
using emulator::state;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call("cudaGetDeviceCount", Rule::device, [&] {
    *count = static_cast<int>(state().machine.devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int number) {
  return emulator::with_device("cudaSetDevice", number,
                               [&](const Device&) { emulator::device_in_use = number; });
}

cudaError_t cudaGetDevice(int* number) {
  return call("cudaGetDevice", Rule::device, [&] {
    *number = emulator::device_in_use;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  return emulator::with_device("cudaGetDeviceProperties", number,
                               [&](const Device& device) { *properties = emulator::describe(device); });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
  const cudaError_t code = emulator::with_device("cudaDeviceGetAttribute", number, [&](const Device& device) {
    *value = emulator::attribute(device, attribute);
  });
  return code;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int number) {
  return emulator::with_device("cudaDeviceGetPCIBusId", number, [&](const Device& device) {
    std::snprintf(text, static_cast<std::size_t>(length), "%s", device.pci_bus_id.c_str());
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int number, int peer) {
  return emulator::with_device("cudaDeviceCanAccessPeer", number, [&](const Device& device) {
    *can = std::count(device.peers.begin(), device.peers.end(), peer) > 0 ? 1 : 0;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned /*flags*/) {
  int can = 0;
  const cudaError_t code = cudaDeviceCanAccessPeer(&can, emulator::device_in_use, peer);
  return code == cudaSuccess && can == 0 ? cudaErrorPeerAccessUnsupported : code;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return emulator::with_device("cudaMemGetInfo", emulator::device_in_use, [&](const Device& device) {
    const std::size_t used = state().memory.used(emulator::device_in_use);
    *free_bytes = device.free_bytes - std::min(used, device.free_bytes);
    *total_bytes = device.total_bytes;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  return call("cudaDriverGetVersion", Rule::always, [&] {
    *version = state().machine.driver_version;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return call("cudaRuntimeGetVersion", Rule::always, [&] {
    *version = state().machine.runtime_version;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Rule::not_capturing, [] { return state().streams.finish_all(); });
}

cudaError_t cudaDeviceReset() {
  return call("cudaDeviceReset", Rule::release, [] {
    state().streams.clear();
    state().memory.release_all();
    state().lost = cudaSuccess;
    return cudaSuccess;
  });
}
