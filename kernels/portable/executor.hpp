// What runs the kernels of the portable engine (units.hpp), one after the other: a loop over threads and vectors on a CPU, launches on
// a GPU.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/communicator.hpp"
#include "kernels/portable/augmentation.hpp"
#include "kernels/portable/batchnorm.hpp"
#include "kernels/portable/conv.hpp"
#include "kernels/portable/head.hpp"
#include "kernels/portable/pointwise.hpp"
#include "kernels/portable/product.hpp"

namespace trainer::portable {

class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  RankPart part;  // of this process

  // How many of `count` outputs that lie side by side a vector should hold. On a GPU 1.
  virtual int lanes(int count) const = 0;
  // How many of `count` like outputs a unit should compute in turn: all of them on a CPU, 1 on a GPU, which has a thread for each.
  virtual int in_turn(int count) const = 0;
  // How many of those that lie side by side a unit should compute, at most `most` vectors: as many as divide the work evenly.
  Tile tile(int count, int most = 3) const {
    const int lanes = this->lanes(count);
    int vectors = lanes == 1 ? 1 : most;
    while (pieces(count, lanes) % vectors != 0) --vectors;
    return {lanes, vectors};
  }

  // Calls `exchange`, which exchanges what the kernels before it compute with other ranks, before the kernels after it run.
  virtual void communicate(std::function<void()> exchange) = 0;

  template <typename Kernel>
  void run(const Kernel& kernel) {
    run(&kernel, 1);
  }
  template <typename Kernel>
  void run(const std::vector<Kernel>& kernels) {
    run(kernels.data(), kernels.size());
  }
// `count` kernels that do not depend on one another; a GPU runs them side by side.
#define KERNEL(Name) virtual void run(const Name* kernels, std::size_t count) = 0;
#include "kernels/portable/kernel_list.hpp"
};

}  // namespace trainer::portable
