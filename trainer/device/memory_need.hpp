// Whether the host has the memory that a network needs. This is checked before the first call of oneDNN, which crashes if it gets
// no memory. If the system overcommits memory, its OOM killer would end the program without a message. And the end of the program
// where memory is refused to what may not throw: a destructor, a thread, an initialiser before main.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/device_info.hpp"
#include "models/plan.hpp"

namespace trainer {

// Under a limit of the address space (ulimit -v): one malloc arena for all threads, since an arena for each would reserve 64 MiB.
// main calls it before any thread is started.
void limit_malloc_arenas();

// "`what`: ", how much address space this process has, and its limit, for what the system has refused.
std::string memory_refusal(std::string_view what);

// What precedes the plan needs this: a data set of MNIST's size, read by four threads.
inline constexpr std::uint64_t kUsualDataBytes = std::uint64_t{64} << 20;
inline constexpr int kReadingThreads = 4;

// Throws BackendError with both figures if `bytes` more than this process has, and what oneDNN and `threads` threads take,
// exceed the limit of the address space. Does nothing without a limit.
void require_address_space(std::string_view who, std::uint64_t bytes, int threads);

// The same for a network of this plan on the device of `info`, whose parameters are held in `copies` (gradients and the
// optimiser's state count); UsageError if the machine itself has less memory than that. A GPU reports this itself.
void require_memory(const Plan& plan, std::uint64_t copies, const DeviceInfo& info);

// From now on such an end is one line, "error: out of memory", and exit status 1, and any other std::terminate an abort. A program that
// calls it has it from the start, before all other initialisers.
void expect_refused_memory();

}  // namespace trainer
