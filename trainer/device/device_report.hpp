// The device report: what this machine trains on, and why not on a GPU where it does not. Data first, then
// text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "kernels/device_info.hpp"

namespace trainer {

// Lines, each ended; `gpu_reason` is empty when a GPU is used. All GPUs of `info` are described, the CPU in
// one line where it only serves a GPU.
std::string device_report(const DeviceInfo& info, const std::string& gpu_reason);
nlohmann::ordered_json device_json(const DeviceInfo& info, const std::string& gpu_reason);

// Host name, kernel, distribution, processor and memory: the machine block of a run's record.
nlohmann::ordered_json machine_json(const DeviceInfo& info);
// This program's version, commit, compiler and libraries.
nlohmann::ordered_json versions_json(const DeviceInfo& info);

}  // namespace trainer
