// The portable kernels of the CPU engine as a table that counts launches, runs them over counting numbers when it is told to, and
// calls back between two of them.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/cpu/portable/kernels.hpp"

namespace trainer::test {

// Of this process, as the kernels of a table are plain functions.
struct KernelWatch {
  bool counted = false;             // over faults::Counted, one output at a time
  std::uint64_t launches = 0;       // so far
  std::uint64_t call_after = 0;     // the launch after which `call` is called; 0: none
  std::function<void()> call = {};  // once
  const char* hit = nullptr;        // the kernel that met faults::counter's event, or ran before the call
};
inline KernelWatch kernel_watch;

// For cpu::make_portable_backend(). Throws std::runtime_error if the two kinds of numbers give kernels other sizes.
const cpu::PortableKernels& watched_kernels();

}  // namespace trainer::test
