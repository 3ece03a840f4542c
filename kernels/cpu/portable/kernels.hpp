// The portable engine's kernels, compiled once for each instruction set as the loops of kernels/cpu/loops are, without fused
// multiply-add: the bits are the same with each.
#pragma once

#include <vector>

#include "kernels/portable/executor.hpp"

namespace trainer::cpu {

struct PortableKernels {
  const char* name;  // "x86-64-v4"
  int widest_lanes;

  // Run the units of outer index begin .. end - 1.
// NOLINTNEXTLINE(bugprone-macro-parentheses): a type
#define KERNEL(Name) void (*Name)(const portable::Name& kernel, int begin, int end);
#include "kernels/portable/kernel_list.hpp"
};

// Those that this processor can run, best first.
std::vector<const PortableKernels*> usable_portable_kernels();

}  // namespace trainer::cpu
