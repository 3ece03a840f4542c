// The page about one run or several: one HTML file that needs nothing else, no network and no script. report.html says how it
// looks, and here are its values.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/report/report_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ReportPage {
  std::vector<KnownRun> runs;             // at least one
  std::vector<ExaminedNetwork> networks;  // for the first runs
};

std::string report_html(const ReportPage& page);

inline constexpr std::size_t kMostReportValues = 300;

// An object of a record's values by their names in run.json, "recipe.batch", as text for people: times, sizes and fractions with
// their units, told by the name. Not more than kMostReportValues. A record may hold parts that this program does not know.
nlohmann::ordered_json values_of(const nlohmann::ordered_json& json);

// "2026-01-01 09:30:00 +01:00" of an iso_time; any other text as it is.
std::string time_text(std::string time);

}  // namespace trainer
