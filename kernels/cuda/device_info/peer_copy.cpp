// Copies between two GPUs directly, over NVLink or PCIe, if they can reach each other, else through the host.
#include <algorithm>
#include <chrono>
#include <cuda_runtime.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"

namespace trainer {

namespace cuda {

namespace {

using Clock = std::chrono::steady_clock;
using DeviceMemory = Handle<void, cudaFree>;

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

}  // namespace

}  // namespace cuda

std::optional<double> peer_bytes_per_second(int from, int to) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());
  if (code != cudaSuccess || from == to || std::min(from, to) < 0 || std::max(from, to) >= count)
    return std::nullopt;
  int current = 0;
  cuda::check(cudaGetDevice(&current), "cudaGetDevice");
  const double rate = cuda::copy_rate(from, to);
  cuda::check(cudaSetDevice(current), "cudaSetDevice");
  return rate;
}

}  // namespace trainer
