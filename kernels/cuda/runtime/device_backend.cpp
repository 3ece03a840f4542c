// Memory and copies of one device.
#include "kernels/cuda/runtime/device_backend.hpp"

#include <chrono>
#include <fmt/format.h>
#include <thread>

namespace trainer::cuda {

namespace {

constexpr double kGibibyte = 1 << 30;
constexpr std::chrono::microseconds kWatchInterval{20};

// Makes `device` the one that this thread uses.
int used(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  return device;
}

Stream new_stream() {
  return made<Stream>([](cudaStream_t* out) {
    check(cudaStreamCreateWithFlags(out, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  });
}

std::byte* device_memory(std::size_t bytes, std::string_view what) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes);
  if (code != cudaErrorMemoryAllocation) {
    check(code, fmt::format("cudaMalloc of {} bytes for {}", bytes, what));
    return static_cast<std::byte*>(data);
  }
  std::size_t free = 0;
  std::size_t total = 0;
  static_cast<void>(cudaGetLastError());
  static_cast<void>(cudaMemGetInfo(&free, &total));
  throw BackendError(fmt::format(
      "out of GPU memory: {:.3f} GiB asked for {}, {:.3f} GiB of {:.3f} GiB free; a smaller --batch needs "
      "less, and other processes may hold the rest (nvidia-smi)",
      static_cast<double>(bytes) / kGibibyte, what, static_cast<double>(free) / kGibibyte,
      static_cast<double>(total) / kGibibyte));
}

}  // namespace

DeviceBackend::DeviceBackend(int device) : device_(used(device)), stream_(new_stream()) {}

Buffer DeviceBackend::allocate(std::size_t bytes, std::string_view what) {
  const std::size_t least = bytes > 0 ? bytes : 1;
  std::byte* data = device_memory(least, what);
  Buffer buffer(data, bytes, [](std::byte* memory) { static_cast<void>(cudaFree(memory)); });
  check(cudaMemsetAsync(data, 0, least, stream()), "cudaMemsetAsync");
  return buffer;
}

Buffer DeviceBackend::make_resident(const void* data, std::size_t bytes, std::string_view what) {
  Buffer buffer = allocate(bytes, what);
  copy_to_device(buffer.data(), data, bytes);  // whatever reads it comes later on the stream
  return buffer;
}

void DeviceBackend::upload(std::byte* to, const void* from, std::size_t bytes) {
  copy_to_device(to, from, bytes);
  wait();
}

void DeviceBackend::download(void* to, const std::byte* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()), "a copy from the GPU");
  wait();
}

bool DeviceBackend::busy() const {
  if (watch_) watch_();
  return in_flight_.busy();
}

void DeviceBackend::wait() {
  for (bool done = !watch_; !done; std::this_thread::sleep_for(kWatchInterval)) {
    watch_();
    done = cudaStreamQuery(stream()) != cudaErrorNotReady;
  }
  check(cudaStreamSynchronize(stream()), "work on the GPU");
  in_flight_.clear();
}

void DeviceBackend::copy_to_device(std::byte* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()), "a copy to the GPU");
}

}  // namespace trainer::cuda
