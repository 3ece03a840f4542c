// A run's record as it is known before the first step: all but how it went.
#pragma once

#include <string>

#include "kernels/device_info.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

// Status running, started now.
RunRecord describe_run(const Environment& environment, const Setup& setup, const DeviceInfo& info,
                       const std::string& gpu_reason);

// What it says of the device and of the libraries that are open: the network opens them.
void describe_device(RunRecord& record, const DeviceInfo& info, const std::string& gpu_reason);

}  // namespace trainer
