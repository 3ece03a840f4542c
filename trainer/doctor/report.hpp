// What trainer doctor says: a checklist for people, the same as JSON, and rows of known failures.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/gpu_host/known_failures.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {

// Lines, each ended; the last one is the verdict.
std::string report_text(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json report_json(const Facts& facts, const std::vector<Check>& checks);

nlohmann::ordered_json speed_json(const SpeedFacts& speed);  // null for what is unknown

std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

// "10  no driver, or a part of it is missing": a line an exit status, for --help.
std::string exit_classes_text();

}  // namespace trainer::doctor
