// The portable kernels as a table for the CPU engine, one unit of one output after the other. Whoever includes it decides what a float
// is: numbers, or numbers that count (counted_kernels.cpp).
#pragma once

#include "kernels/cpu/portable/kernels.hpp"

namespace trainer::test {

namespace one_by_one {

template <typename Kernel>
void run(const Kernel& kernel, int begin, int end) {
  const portable::Units units = kernel.units();
  for (int i = begin; i < end; ++i) {
    for (int j = 0; j < units.middle; ++j) {
      for (int k = 0; k < units.inner; ++k) portable::run_unit<1, 1>(kernel, i, j, k);
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
