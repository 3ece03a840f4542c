// Runs the portable engine's kernels as launches on one stream, a thread for each unit of work.
#pragma once

#include "kernels/cuda/runtime/launch.hpp"
#include "kernels/portable/executor.hpp"

namespace trainer::cuda {

class PortableExecutor final : public portable::Executor {
 public:
  // Loads the code of all kernels, so that none is first used in a capture.
  PortableExecutor(cudaStream_t stream, unsigned multiprocessors);

  int lanes(int /*count*/) const override { return 1; }
  int in_turn(int /*count*/) const override { return 1; }
  using Executor::run;
#define KERNEL(Name) void run(const portable::Name* kernels, std::size_t count) override;
#include "kernels/portable/kernel_list.hpp"
  // Its communicator's calls only launch.
  void communicate(std::function<void()> exchange) override {
    exchange();
  }

 private:
  LaunchQueue queue_;
  unsigned multiprocessors_;
};

}  // namespace trainer::cuda
