// Runs the portable engine's kernels on the threads of a stream.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/portable/kernels.hpp"
#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/cpu/runtime/stream.hpp"

namespace trainer::cpu {

class CpuExecutor final : public portable::Executor {
 public:
  CpuExecutor(const PortableKernels& kernels, Stream& stream) : kernels_(kernels), stream_(stream) {}

  int in_turn(int count) const override { return count; }
  int lanes(int count) const override { return best_lanes(count, kernels_.widest_lanes); }

  using Executor::run;
#define KERNEL(Name)                                                    \
  void run(const portable::Name* kernels, std::size_t count) override { \
    append(kernels, count, kernels_.Name);                              \
  }
#include "kernels/portable/kernel_list.hpp"
  void communicate(std::function<void()> exchange) override {
    stream_.serial(std::move(exchange));
  }

 private:
  // Ranges of the outer index, so that no item writes beside another's outputs; too little work for a second thread to pay is one
  // item, or what one thread does while the others wait.
  template <typename Kernel>
  void append(const Kernel* kernels, std::size_t count, void (*run)(const Kernel&, int, int)) const {
    std::vector<Work> works;
    int items = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const portable::Units units = kernels[i].units();
      const std::int64_t work = std::int64_t{units.outer} * units.middle * units.inner * units.work;
      const int parts = work < kWorthAThread ? 1 : std::min(units.outer, kParts);
      const auto cut = [outer = units.outer, parts](int part) {
        return static_cast<int>(std::int64_t{outer} * part / parts);
      };
      works.push_back({parts, {[kernel = kernels[i], run, cut](int part, int /*worker*/) {
                         run(kernel, cut(part), cut(part + 1));
                       }}});
      items += parts;
    }
    if (items > 1) return stream_.phase(std::move(works));
    for (const Work& work : works) stream_.serial([task = work.tasks[0]] { task(0, 0); });
  }
  static constexpr std::int64_t kWorthAThread = 20000;
  static constexpr int kParts = 8;

  const PortableKernels& kernels_;
  Stream& stream_;
};

}  // namespace trainer::cpu
