// The GPU part of the device report: first the block that TensorFlow 1.x printed, letter for letter, since
// that is what people compare with; then what an engineer needs today, with the right names.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/device_info.hpp"

namespace trainer {

// "Found device 0 with properties:" and its five lines for every GPU; for several also which can read whose
// memory. The value labelled memoryClockRate is the SM's clock: the label is TensorFlow's mistake, kept for
// comparison.
std::string gpu_block(const std::vector<GpuInfo>& gpus);

// Lines "key  value", unlabelled by index unless `several`; "n/a" for what is unknown. `software` may be
// null.
std::string gpu_details(const GpuInfo& gpu, const GpuSoftware* software, bool several);
std::string gpu_software_details(const GpuSoftware& software);

// The same as data; null for what is unknown.
nlohmann::ordered_json gpu_json(const GpuInfo& gpu);
nlohmann::ordered_json gpu_software_json(const GpuSoftware& software);
nlohmann::ordered_json gpu_code_json(const GpuInfo& gpu, const GpuSoftware& software);

}  // namespace trainer
