// The device report: what this machine trains on, and why not on a GPU if it does not.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"

namespace trainer {

// Lines, each ending in a newline; `gpu_reason` is empty when a GPU is used. All GPUs of `info` are described: first in the block
// that TensorFlow 1.x printed, letter for letter, since people compare with it, then with what an engineer needs today. The CPU
// has one line if it only serves a GPU. Unknown values are "n/a" in the text and null in JSON.
std::string device_report(const DeviceInfo& info, const std::string& gpu_reason);
nlohmann::ordered_json device_json(const DeviceInfo& info, const std::string& gpu_reason);

// " (a quota of 1.5)" behind a number of cores; "" without one.
std::string quota_text(const CpuInfo& cpu);

// NVML's readings of a GPU; `now` is appended to the names of its clocks.
nlohmann::ordered_json sensors_json(const GpuSensors& sensors, const std::string& now = "");
// "idle, power limit"; "nothing" if its clocks are at their peak.
std::string throttle_text(const std::optional<std::vector<std::string>>& reasons);

// Host name, kernel, distribution, processor and memory: the machine block of a run's record.
nlohmann::ordered_json machine_json(const DeviceInfo& info);
// This program's version, commit, compiler and libraries.
nlohmann::ordered_json versions_json(const DeviceInfo& info);

}  // namespace trainer
