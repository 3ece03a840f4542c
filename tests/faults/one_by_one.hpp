// The portable kernels as a table for the CPU engine, one unit of one output after the other. Whoever includes it decides what a float
// is: numbers, or numbers that count (counted_kernels.cpp).
#pragma once

#include "kernels/cpu/portable/kernels.hpp"

namespace trainer::test {

namespace one_by_one {

template <typename Kernel, typename Index>
void run(const Kernel& kernel, Index begin, Index end) {
  for (Index i = begin; i < end; ++i) {
    if constexpr (requires { kernel.units(); }) {
      const auto units = kernel.units();
      for (int j = 0; j < units.middle; ++j) {
        for (int k = 0; k < units.inner; ++k) run_unit<1, 1>(kernel, i, j, k);
      }
    } else {
      for (Index j = 0; j < kernel.inner(); ++j) kernel.template unit<1>(i, j);
    }
  }
}

inline constexpr cpu::PortableKernels kKernels{
    "one by one",
    1,
#define KERNEL(Name) run<portable::Name>,
#include "kernels/portable/kernel_list.hpp"
};

}  // namespace one_by_one

}  // namespace trainer::test
