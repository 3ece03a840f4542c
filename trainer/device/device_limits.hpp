// What a device can do at most, which times are held against: arithmetic and memory traffic. A GPU's limits
// follow from its properties; a processor's are measured, since clocks under vector code and the fraction of the
// machine that one gets are not to be read anywhere.
#pragma once

#include <optional>
#include <string>

#include "kernels/backend.hpp"

namespace trainer {

struct DeviceLimit {
  double per_second = 0;  // FLOP or bytes; 0: unknown
  std::string source;     // "measured: ...", or the numbers that it is the product of
};

// FLOP (a multiply-add counts 2) of one multiprocessor in one clock, without sparsity, sums in fp32; nothing
// for a precision that it does not have or a compute capability that is not in the table. Source: NVIDIA's
// CUDA C++ Programming Guide, "Arithmetic Instructions", and the architectures' white papers.
std::optional<int> flops_per_clock(int major, int minor, const std::string& precision);

// From a GPU's properties; 0 where they do not tell.
DeviceLimit expected_arithmetic(const GpuInfo& gpu, const std::string& precision);
DeviceLimit expected_memory(const GpuInfo& gpu);

// In `precision` ("fp32", "tf32", ...), the one that `backend` was made with. Where it is measured: the best
// of about 0.3 seconds of products of 2048 x 1024 by 1024 x 1024, casts included where the engine makes them.
DeviceLimit arithmetic_limit(Backend& backend, const DeviceInfo& info, const std::string& precision);

// Where it is measured: the best of about 0.3 seconds of a ReLU from 64 MiB to another 64 MiB (32 in 16
// bits).
DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info);

}  // namespace trainer
