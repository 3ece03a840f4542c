// The portable engine on the simplest executor there is: one unit after the other, one output at a time, on one thread. The units
// run from the last to the first, so that a unit that needs another one's result, or that writes where another one does, gives
// other bits than on an executor that runs them in any other order; so do kernels that are said to be independent.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/runtime/host_backend.hpp"
#include "kernels/portable/executor.hpp"
#include "kernels/portable/ops.hpp"

namespace trainer {

class NaiveExecutor final : public portable::Executor {
 public:
  explicit NaiveExecutor(cpu::Stream& stream) : stream_(stream) {}
  int lanes(int /*count*/) const override { return 1; }
  int in_turn(int /*count*/) const override { return 1; }

#define KERNEL(Name)                                                                      \
  void run(const portable::Name* kernels, std::size_t count) override {                   \
    while (count-- > 0) stream_.serial([kernel = kernels[count]] { run_units(kernel); }); \
  }
#include "kernels/portable/kernel_list.hpp"
  void communicate(std::function<void()> exchange) override {
    stream_.serial(std::move(exchange));
  }

 private:
  static void run_units(const auto& kernel) {
    const portable::Units units = kernel.units();
    for (int i = units.outer; i-- > 0;) {
      for (int j = units.middle; j-- > 0;) {
        for (int k = units.inner; k-- > 0;) portable::run_unit<1, 1>(kernel, i, j, k);
      }
    }
  }

  cpu::Stream& stream_;
};

// Any executor as a backend whose memory is the host's; the naive one if none is given.
class ExecutorBackend final : public cpu::HostBackend {
 public:
  // make(stream) makes the executor.
  ExecutorBackend(int threads, const auto& make) : HostBackend(threads), executor_(make(stream_)) {}
  ExecutorBackend()
      : ExecutorBackend(1, [](auto& stream) { return std::make_unique<NaiveExecutor>(stream); }) {}

  DeviceInfo info(Libraries /*libraries*/) const override { return {}; }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool /*wants_dx*/) override {
    return portable::make_op(*executor_, desc, batch);
  }
  void gather(const GatherArgs& args) override { portable::gather(*executor_, args); }
  void update(const UpdateArgs& args) override { portable::update(*executor_, args, now_.data()); }
  void average(const AverageArgs& args) override { executor_->run(portable::Average{args}); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return portable::update_workspace_bytes(matrices);
  }

 private:
  std::unique_ptr<portable::Executor> executor_;
  std::array<UpdateStep, kMostOptimizers> now_{};
};

}  // namespace trainer
