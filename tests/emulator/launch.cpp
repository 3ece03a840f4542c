// Kernels: the checks of cudaLaunchKernelEx, and the run over the blocks of a grid.
#include <algorithm>
#include <fmt/format.h>
#include <sys/mman.h>

#include "tests/emulator/block.hpp"
#include "tests/emulator/fault.hpp"
#include "tests/emulator/state.hpp"
#include "tests/emulator/symbols.hpp"

namespace emulator {
namespace {

constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kMostBlocksX = 0x7FFFFFFF;
constexpr std::uint64_t kMostBlocksYZ = 65535;

bool fits(const KernelCall& kernel) {
  const dim3& grid = kernel.grid;
  const dim3& block = kernel.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  return threads > 0 && threads <= kMostThreads && block.z <= 64 && grid.x > 0 && grid.y > 0 && grid.z > 0 &&
         grid.x <= kMostBlocksX && grid.y <= kMostBlocksYZ && grid.z <= kMostBlocksYZ;
}

const Device& device_in_use() {
  return state().machine.devices[static_cast<std::size_t>(current_device())];
}

// How many blocks of `threads` threads fit on a multiprocessor.
std::uint64_t blocks_at_once(const Device& device, std::uint64_t threads) {
  return std::min(static_cast<std::uint64_t>(device.resident_blocks),
                  static_cast<std::uint64_t>(device.resident_threads) / threads);
}

// Whether all blocks of a cooperative launch fit on the device at once.
bool fits_at_once(const KernelCall& kernel) {
  const Device& device = device_in_use();
  const std::uint64_t blocks = std::uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  const std::uint64_t threads = std::uint64_t{kernel.block.x} * kernel.block.y * kernel.block.z;
  return blocks <= static_cast<std::uint64_t>(device.multiprocessors) * blocks_at_once(device, threads);
}

// Whether a GPU could not follow the pointer, because it points to mapped memory outside of all devices.
bool points_to_host(const void* pointer) {
  constexpr std::uintptr_t kPage = 4096;
  if (pointer == nullptr || state().memory.find(pointer) != nullptr) return false;
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(pointer) / kPage * kPage), kPage,
                 &resident) == 0;
}

uint3 place_of(std::uint64_t number, const dim3& grid) {
  return {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
          static_cast<unsigned>(number / grid.x / grid.y)};
}

std::uint64_t block_seed(std::uint64_t seed, std::uint64_t number) {
  return seed == 0 ? 0 : scramble(seed + number);
}

// Runs all blocks together: each runs to the grid's barrier, then the next one does.
void run_cooperative(const KernelCall& kernel, std::uint64_t blocks, std::uint64_t seed) {
  State& all = state();
  const Permutation order(blocks, seed);
  std::vector<std::vector<std::uint32_t>> shared(blocks);
  std::uint64_t waiting = blocks;
  for (bool begun = false; waiting > 0; begun = true) {
    waiting = 0;
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t number = order(i);
      position.block = place_of(number, kernel.grid);
      Block& one = change_block(number);
      try {
        if (begun) {
          all.shared->bring_back(shared[number]);
          one.go_on();
        } else {
          all.shared->begin_block(kernel.symbol);
          one.run(kernel.thread, kernel.block, block_seed(seed, number), true);
        }
        waiting += one.waits_for_grid() ? 1 : 0;
        if (waiting != 0 && waiting != i + 1)
          throw LaunchFailure{cudaErrorLaunchFailure, "not all blocks of the grid wait at grid.sync()"};
      } catch (LaunchFailure& failure) {
        for (std::uint64_t b = 0; b < blocks; ++b) change_block(b).abandon();
        all.shared->end_block(kernel.symbol, false, true);
        failure.text = fmt::format("block {}: {}", number, failure.text);
        throw;
      }
      if (one.waits_for_grid()) shared[number] = all.shared->keep();
      all.shared->end_block(kernel.symbol, i == 0, i + 1 == blocks);
    }
  }
}

}  // namespace

void run_kernel(const KernelCall& kernel) {
  State& all = state();
  catch_faults();
  position.block_size = kernel.block;
  position.grid_size = kernel.grid;
  const std::uint64_t blocks = std::uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  const std::uint64_t seed = all.order_seed == 0 ? 0 : scramble(all.order_seed + all.launches++);
  if (kernel.cooperative) return run_cooperative(kernel, blocks, seed);
  const Permutation order(blocks, seed);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t number = order(i);
    position.block = place_of(number, kernel.grid);
    all.shared->begin_block(kernel.symbol);
    try {
      change_block(0).run(kernel.thread, kernel.block, block_seed(seed, number), false);
    } catch (LaunchFailure& failure) {
      all.shared->end_block(kernel.symbol, false, true);
      failure.text = fmt::format("block {}: {}", number, failure.text);
      throw;
    }
    all.shared->end_block(kernel.symbol, i == 0, i + 1 == blocks);
  }
}

cudaError_t launch_kernel(KernelCall kernel, cudaStream_t stream) {
  return call("cudaLaunchKernelEx", Rule::device, [&]() -> cudaError_t {
    const std::string name = kernel_name(kernel.symbol);
    ++state().counts.grids[fmt::format("{} {}x{}", name, kernel.grid.x, kernel.block.x)];
    if (!fits(kernel)) {
      return explain(
          cudaErrorInvalidConfiguration,
          fmt::format("{}: a grid of {}x{}x{} blocks of {}x{}x{} threads", name, kernel.grid.x, kernel.grid.y,
                      kernel.grid.z, kernel.block.x, kernel.block.y, kernel.block.z));
    }
    if (kernel.cooperative && !fits_at_once(kernel)) {
      return explain(cudaErrorCooperativeLaunchTooLarge, fmt::format("{}: {} blocks of {} threads at a time",
                                                                     name, kernel.grid.x, kernel.block.x));
    }
    if (kernel.dynamic_shared_bytes > 0) {
      return explain(cudaErrorNotSupported, name + ": dynamic shared memory is not emulated");
    }
    const bool wild = std::any_of(kernel.pointers.begin(), kernel.pointers.end(), points_to_host);
    note_loading(kernel.symbol, name, stream);
    auto held = std::make_shared<const KernelCall>(std::move(kernel));
    const auto run = [held, wild] {
      if (wild) throw LaunchFailure{cudaErrorIllegalAddress, "an argument points to memory of the host"};
      run_kernel(*held);
    };
    return state().streams.submit(stream, {WorkKind::kernel, name, run, nullptr});
  });
}

cudaError_t function_attributes(const void* symbol, cudaFuncAttributes* attributes) {
  return call("cudaFuncGetAttributes", Rule::device, [&] {
    const Device& device = device_in_use();
    note_loading(symbol, kernel_name(symbol), nullptr);
    *attributes = {};
    attributes->maxThreadsPerBlock = static_cast<int>(kMostThreads);
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion = device.major * 10 + device.minor;
    return cudaSuccess;
  });
}

cudaError_t blocks_a_multiprocessor(int* blocks, const void* symbol, int threads) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", Rule::device, [&]() -> cudaError_t {
    if (threads < 1 || threads > static_cast<int>(kMostThreads)) return cudaErrorInvalidValue;
    note_loading(symbol, kernel_name(symbol), nullptr);
    *blocks = static_cast<int>(blocks_at_once(device_in_use(), static_cast<std::uint64_t>(threads)));
    return cudaSuccess;
  });
}

cudaError_t set_function_attribute(const void*, cudaFuncAttribute, int value) {
  return call("cudaFuncSetAttribute", Rule::device,
              [&] { return value < 0 ? cudaErrorInvalidValue : cudaSuccess; });
}

}  // namespace emulator
