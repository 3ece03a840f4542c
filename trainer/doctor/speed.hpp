// The test of a second: a product and a copy at the device's own size, measured through the ops that training
// uses, beside what the device should do (device_limits.hpp).
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/gpu_host/nvml.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// `device`: "cpu" or "cuda:N". Throws BackendError where the device fails.
SpeedFacts measure_speed(const std::string& device, const Nvml& nvml);

// In words, from what the sensors said under load: "power cap 300 W (made for 700 W)". None: nothing is
// known.
std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed);

}  // namespace trainer::doctor
