// How trainer doctor judges: rows of a table over the facts, so that a test plays every machine.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

using F = const Facts&;

// Several rows of one name are the cases of one check: the first that applies is what is said.
struct CheckRow {
  std::string_view name;
  CheckState state;
  bool (*applies)(F);
  std::string (*finding)(F);
  const char* key = nullptr;        // of a problem: the row of failures/*.yaml that has its cause and fix
  Failure (*failure)(F) = nullptr;  // of a problem whose cause the facts know better
};

inline constexpr CheckState kOk = CheckState::ok;
inline constexpr CheckState kNote = CheckState::note;
inline constexpr CheckState kProblem = CheckState::problem;

inline bool always(F /*facts*/) {
  return true;
}

// From the driver to the device; said unless --device cpu is asked for.
std::span<const CheckRow> gpu_rows();

// Whether the machine shows a GPU, whatever may be wrong with it. One that shows none is healthy without.
bool shows_gpu(F facts);
// Whether training would run on the GPU.
bool trains_on_gpu(F facts);

// A row of failures/*.yaml with a cause that says more than the row's.
Failure failure_with_cause(std::string_view key, const std::string& cause);

// How a measured speed is judged: what it is, why it may be low (from what the sensors said under load: "power cap 300 W (made for
// 700 W)"; none: nothing is known), and whether a GPU falls short of its class.
std::string speed_text(const SpeedFacts& speed);
std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed);
bool falls_short(const SpeedFacts& speed);

std::vector<Check> check_all(F facts);

// One line: what runs where, or how many problems there are.
std::string verdict(F facts, const std::vector<Check>& checks);

// What trainer doctor says. Lines, each ended; the last one is the verdict.
std::string report_text(F facts, const std::vector<Check>& checks);
nlohmann::ordered_json report_json(F facts, const std::vector<Check>& checks);
nlohmann::ordered_json speed_json(const SpeedFacts& speed);  // null for what is unknown

// Rows of known failures.
std::string explanation_text(const Explanation& explanation);
nlohmann::ordered_json explanation_json(const Explanation& explanation);

// "10  no driver, or a part of it is missing": a line an exit status, for --help.
std::string exit_classes_text();

}  // namespace trainer::doctor
