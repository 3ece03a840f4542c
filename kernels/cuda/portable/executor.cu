// A launch for each kernel, or for several side by side. This file is compiled without fused multiply-add (kernels/CMakeLists.txt),
// and scripts/machine_code/portable.py asserts that its machine code has none.
#define TRAINER_PORTABLE  // divisions and roots are functions of their own (kernels/math/division.hpp)
#include <algorithm>
#include <limits>
#include <string>

#include "kernels/cuda/portable/executor.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 256;

// How many kernels of a kind one launch may hold.
template <typename Kernel, typename... Kinds>
constexpr bool kIsOneOf = (std::is_same_v<Kernel, Kinds> || ...);
template <typename Kernel>
constexpr std::size_t kSideBySide =
    kIsOneOf<Kernel, portable::Product, portable::Transpose, portable::SumImages, portable::OpenUpdate,
             portable::Update, portable::MuonDirection, portable::MuonNormalise>
        ? 4
        : 1;

template <typename Kernel>
struct Group {
  Kernel kernel[kSideBySide<Kernel>];
  Divider by_middle[kSideBySide<Kernel>];
  Divider by_inner[kSideBySide<Kernel>];
  std::uint32_t units[kSideBySide<Kernel>] = {};
  std::uint32_t end[kSideBySide<Kernel>] = {};  // blocks of this kernel and those before it
};

// Neighbouring threads run neighbouring units of the innermost dimension. One block at a time is enough, so that a thread has
// registers for many loads.
template <typename Kernel>
__global__ void __launch_bounds__(kMostThreads, 1) run_units(const __grid_constant__ Group<Kernel> group) {
  unsigned k = 0;
  while (k + 1 < kSideBySide<Kernel> && blockIdx.x >= group.end[k]) ++k;
  const std::uint32_t unit = (blockIdx.x - (k > 0 ? group.end[k - 1] : 0)) * blockDim.x + threadIdx.x;
  if (unit >= group.units[k]) return;
  const Kernel kernel = group.kernel[k];  // whose members are then known not to change
  const std::uint32_t pair = group.by_inner[k].quotient(unit);
  const std::uint32_t outer = group.by_middle[k].quotient(pair);
  portable::run_unit<1, 1>(kernel, static_cast<int>(outer),
                           static_cast<int>(pair - outer * group.by_middle[k].by()),
                           static_cast<int>(unit - pair * group.by_inner[k].by()));
}

std::uint32_t counted(std::int64_t units, std::string_view name) {
  if (units <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::uint32_t>(units);
  throw BackendError(std::string(name) + ": " + std::to_string(units) +
                     " units of work, more than the 2^31 that kernels count; choose a smaller --batch");
}

// Few enough threads in a block that every multiprocessor has one, where there are units for that.
unsigned threads_for(std::uint64_t units, unsigned multiprocessors) {
  const std::uint64_t warps = units / (std::uint64_t{multiprocessors} * kWarp);
  return static_cast<unsigned>(std::clamp<std::uint64_t>(warps * kWarp, kWarp, kMostThreads));
}

template <typename Kernel>
void launch_group(const LaunchQueue& queue, unsigned multiprocessors, const Kernel* kernels,
                  std::size_t count, std::string_view name) {
  Group<Kernel> group;
  std::uint64_t units = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const portable::Units all = kernels[k].units();
    group.kernel[k] = kernels[k];
    group.by_middle[k] = Divider(static_cast<std::uint32_t>(std::max(1, all.middle)));
    group.by_inner[k] = Divider(static_cast<std::uint32_t>(std::max(1, all.inner)));
    group.units[k] = counted(std::int64_t{all.outer} * all.middle * all.inner, name);
    units += group.units[k];
  }
  const unsigned threads = threads_for(units, multiprocessors);
  std::uint32_t blocks = 0;
  for (std::size_t k = 0; k < kSideBySide<Kernel>; ++k)
    group.end[k] = blocks += (group.units[k] + threads - 1) / threads;
  if (blocks > 0 || queue.loads)
    launch(queue, {std::max(1U, blocks), threads}, name, run_units<Kernel>, group);
}

}  // namespace

PortableExecutor::PortableExecutor(cudaStream_t stream, unsigned multiprocessors)
    : queue_{stream, true}, multiprocessors_(multiprocessors) {
#define KERNEL(Name) Executor::run(portable::Name{});
#include "kernels/portable/kernel_list.hpp"
  queue_.loads = false;
}

#define KERNEL(Name)                                                                                \
  void PortableExecutor::run(const portable::Name* kernels, std::size_t count) {                    \
    constexpr std::size_t kMost = kSideBySide<portable::Name>;                                      \
    for (std::size_t done = 0; done < count; done += kMost)                                         \
      launch_group(queue_, multiprocessors_, kernels + done, std::min(kMost, count - done), #Name); \
  }
#include "kernels/portable/kernel_list.hpp"

}  // namespace trainer::cuda
