// How trainer doctor judges: pure functions of the facts, so that a test can play any machine.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// Whether the machine shows a GPU, whatever is wrong with it. A machine that shows none is healthy without one.
bool shows_gpu(const GpuFacts& gpu);

// Whether training would run on the GPU.
bool trains_on_gpu(const Facts& facts);

// How a measured speed is judged: its text, the reasons why it may be low, from the sensors' readings under load ("power cap 300
// W (made for 700 W)"; empty if none is known), and whether a GPU falls short of its class.
std::string speed_text(const SpeedFacts& speed);
std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed);
bool falls_short(const SpeedFacts& speed);

std::string cores_text(const CpuInfo& cpu);  // "2 cores"

// Every check of the list, with those that could not or need not be run.
std::vector<Check> check_all(const Facts& facts);

// Appends the checks of the list that are not among `checks`, each with the reason.
void add_left_out(const Facts& facts, std::vector<Check>* checks);

// One line: what runs where and what was looked at for that, or how many problems there are.
std::string verdict(const Facts& facts, const std::vector<Check>& checks);

// The report of trainer doctor: lines, each ending in a newline, of which the last is the verdict.
std::string report_text(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json report_json(const Facts& facts, const std::vector<Check>& checks);
nlohmann::ordered_json check_json(const Check& check);
nlohmann::ordered_json speed_json(const SpeedFacts& speed);  // null for what is unknown

// Rows of known failures.
std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

struct Sample {
  std::vector<std::pair<std::string_view, std::string>> labels;  // names and values
  std::string value;                                             // a number, or NaN
};
// A metric with all its samples in Prometheus's text format, for the textfile collector of its node_exporter.
std::string gauge_text(std::string_view name, std::string_view help, const std::vector<Sample>& samples);

// "10  no driver, or a part of it is missing": one line for each exit status, for --help.
std::string exit_classes_text();

}  // namespace trainer::doctor
