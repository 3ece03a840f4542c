// What runs the kernels of the portable engine: a loop over threads and vectors on a CPU, launches on a GPU. A kernel is a struct of
// its arguments with outer() x inner() units of work, unit<L>(outer, inner), which are independent of each other; L is the number
// of outputs side by side. Kernels run one after the other.
#pragma once

#include "kernels/portable/batchnorm.hpp"
#include "kernels/portable/border.hpp"
#include "kernels/portable/conv.hpp"
#include "kernels/portable/head.hpp"
#include "kernels/portable/pointwise.hpp"
#include "kernels/portable/product.hpp"
#include "kernels/portable/step.hpp"

namespace trainer::portable {

class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // How many of `count` outputs that lie side by side a unit should compute.
  virtual int lanes(int count) const = 0;

#define KERNEL(Name) virtual void run(const Name& kernel) = 0;
#include "kernels/portable/kernel_list.hpp"
};

}  // namespace trainer::portable
