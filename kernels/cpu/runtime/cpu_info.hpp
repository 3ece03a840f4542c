// What this machine's processor is and how much of it this process may use.
#pragma once

#include "kernels/device_info.hpp"

namespace trainer::cpu {

// Cores that this process may run on: the affinity mask, cut by a container's CPU quota. At least 1.
int usable_cores();

// Everything but `threads` and `loops`, which the backend knows.
CpuInfo read_cpu_info();

}  // namespace trainer::cpu
