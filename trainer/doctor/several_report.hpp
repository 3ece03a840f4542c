// The table of trainer doctor --all, and the same as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/doctor/several.hpp"

namespace trainer::doctor {

// Lines, each ended; the last one says whether a device stands out.
std::string several_text(const std::vector<DeviceRow>& rows, const std::vector<std::string>& findings);
nlohmann::ordered_json several_json(const std::vector<DeviceRow>& rows,
                                    const std::vector<std::string>& findings);

}  // namespace trainer::doctor
