// Memory calls of the runtime. If the real runtime would read out of bounds or wait silently, these report the error.
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <vector>

#include "tests/emulator/fault.hpp"
#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

// Whether `bytes` bytes from `pointer` lie in a single allocation of device or pinned memory.
bool inside(const void* pointer, std::size_t bytes) {
  const DeviceMemory& memory = state().memory;
  const DeviceMemory::Block* block = memory.find(pointer);
  return block != nullptr && static_cast<std::size_t>(memory.offset(pointer)) + bytes <= block->bytes;
}

bool on_device(const void* pointer) {
  const DeviceMemory::Block* block = state().memory.find(pointer);
  return block != nullptr && !block->pinned;
}

bool pinned(const void* pointer) {
  const DeviceMemory::Block* block = state().memory.find(pointer);
  return block != nullptr && block->pinned;
}

cudaError_t check_side(const void* pointer, std::size_t bytes, bool device_wanted, const char* side) {
  if (on_device(pointer) != device_wanted) {
    return explain(cudaErrorInvalidValue, fmt::format("copy: the {} is {} memory of a device", side,
                                                      device_wanted ? "not" : "unexpectedly"));
  }
  if (device_wanted && !inside(pointer, bytes)) {
    return explain(cudaErrorInvalidValue,
                   fmt::format("copy: {} bytes at byte {} of the {} pass the end of its {} bytes", bytes,
                               state().memory.offset(pointer), side, state().memory.find(pointer)->bytes));
  }
  return cudaSuccess;
}

cudaError_t check_copy(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  const bool guess = kind == cudaMemcpyDefault;
  const bool to_device =
      guess ? on_device(to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device =
      guess ? on_device(from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const cudaError_t target = check_side(to, bytes, to_device, "target");
  return target != cudaSuccess ? target : check_side(from, bytes, from_device, "source");
}

Work copy_work(void* to, const void* from, std::size_t bytes) {
  const auto run = [=] {
    const CopyAccess access(state().memory, to, from);
    std::memmove(to, from, bytes);
  };
  return {WorkKind::copy, "copy", run, nullptr};
}

// Pageable memory is read before the call returns, so that the program may change it at once.
Work copy_of_snapshot(void* to, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const char*>(from);
  auto held = std::make_shared<const std::vector<char>>(begin, begin + bytes);
  const auto run = [to, held] {
    const CopyAccess access(state().memory, to, nullptr);
    std::memcpy(to, held->data(), held->size());
  };
  return {WorkKind::copy, "copy", run, nullptr};
}

cudaError_t copy(cudaStream_t handle, void* to, const void* from, std::size_t bytes) {
  Streams& streams = state().streams;
  CUstream_st* stream = streams.find(handle);
  const bool at_once = stream != nullptr && !stream->capture;
  const bool from_pageable = !on_device(from) && !pinned(from);
  const bool to_pageable = !on_device(to) && !pinned(to);
  const cudaError_t code = streams.submit(
      handle, at_once && from_pageable ? copy_of_snapshot(to, from, bytes) : copy_work(to, from, bytes));
  if (code != cudaSuccess || !at_once || !to_pageable) return code;
  return streams.finish(*stream);  // a copy to pageable memory is done when the call returns
}

cudaError_t fill(cudaStream_t stream, void* to, int value, std::size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  if (!on_device(to) || !inside(to, bytes)) {
    return explain(cudaErrorInvalidValue,
                   fmt::format("memset: {} bytes are not within one allocation", bytes));
  }
  const auto run = [=] {
    const CopyAccess access(state().memory, to, nullptr);
    std::memset(to, value, bytes);
  };
  return state().streams.submit(stream, {WorkKind::fill, "memset", run, nullptr});
}

cudaError_t free_any(const char* name, void* pointer, bool is_pinned) {
  return call(name, Rule::release, [&]() -> cudaError_t {
    if (pointer == nullptr) return cudaSuccess;
    if (const cudaError_t refused = refuse_in_capture(name); refused != cudaSuccess) return refused;
    state().streams.finish_all();  // as the real call does
    if (state().memory.release(pointer, is_pinned)) return cudaSuccess;
    return explain(cudaErrorInvalidValue,
                   fmt::format("{} of a pointer that is not an allocation (any more)", name));
  });
}

}  // namespace

cudaError_t allocate(void** pointer, std::size_t bytes) {
  return call("cudaMalloc", Rule::not_capturing, [&]() -> cudaError_t {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    State& all = state();
    const int device = current_device();
    const std::size_t available = all.machine.devices[static_cast<std::size_t>(device)].free_bytes;
    const std::size_t used = all.memory.used(device);
    if (bytes > available - std::min(used, available)) return cudaErrorMemoryAllocation;
    catch_faults();
    *pointer = all.memory.allocate(bytes, device, false);
    return cudaSuccess;
  });
}

cudaError_t allocate_pinned(const char* name, void** pointer, std::size_t bytes) {
  return call(name, Rule::not_capturing, [&] {
    *pointer = bytes == 0 ? nullptr : state().memory.allocate(bytes, current_device(), true);
    return cudaSuccess;
  });
}

}  // namespace emulator

using emulator::call;
using emulator::Rule;

cudaError_t cudaFree(void* device) {
  return emulator::free_any("cudaFree", device, false);
}
cudaError_t cudaFreeHost(void* host) {
  return emulator::free_any("cudaFreeHost", host, true);
}

// Waits for the null stream, which does not wait for a stream made with cudaStreamNonBlocking.
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Rule::not_capturing, [&] {
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t wrong = emulator::check_copy(to, from, bytes, kind); wrong != cudaSuccess)
      return wrong;
    const cudaError_t code = emulator::copy(nullptr, to, from, bytes);
    return code != cudaSuccess ? code : emulator::state().streams.finish_blocking();
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call("cudaMemcpyAsync", Rule::device, [&] {
    if (bytes == 0) return cudaSuccess;
    const cudaError_t wrong = emulator::check_copy(to, from, bytes, kind);
    if (kind == cudaMemcpyDeviceToHost) ++emulator::state().counts.copies_to_host;
    return wrong != cudaSuccess ? wrong : emulator::copy(stream, to, from, bytes);
  });
}

cudaError_t cudaMemcpyPeerAsync(void* to, int /*to_device*/, const void* from, int /*from_device*/,
                                std::size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return call("cudaMemset", Rule::not_capturing, [&] { return emulator::fill(nullptr, to, value, bytes); });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", Rule::device, [&] { return emulator::fill(stream, to, value, bytes); });
}
