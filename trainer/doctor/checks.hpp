// How trainer doctor judges: pure functions of the facts, so that a test can play any machine.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// Whether training would run on the GPU.
bool trains_on_gpu(const Facts& facts);

// How a measured speed is judged: its text, the reasons why it may be low, from the sensors' readings under load ("power cap 300
// W (made for 700 W)"; empty if none is known), and whether a GPU falls short of its class.
std::string speed_text(const SpeedFacts& speed);
std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed);
bool falls_short(const SpeedFacts& speed);

std::vector<Check> check_all(const Facts& facts);

// One line: what runs where, or how many problems there are.
std::string verdict(const Facts& facts, const std::vector<Check>& checks);

// The report of trainer doctor: lines, each ending in a newline, of which the last is the verdict.
std::string report_text(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json report_json(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json speed_json(const SpeedFacts& speed);  // null for what is unknown

// Rows of known failures.
std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

// "10  no driver, or a part of it is missing": one line for each exit status, for --help.
std::string exit_classes_text();

}  // namespace trainer::doctor
