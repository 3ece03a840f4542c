// Values of a run's record as rows of text, for tables: what runs have in common and what not. A record may
// hold parts that this program does not know: they are shown under the names that they have there.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "trainer/runs/known_run.hpp"
#include "trainer/runs/run_differences.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

inline constexpr std::size_t kMostReportValues = 300;

// As in run.json, "recipe.batch", the values as text for people: times, sizes and shares with their units, told by the name.
// Not more than kMostReportValues.
NamedValues values_of(const nlohmann::ordered_json& json, const std::string& prefix = "");

NamedValues result_values(const KnownRun& run);
NamedValues configuration_values(const KnownRun& run);

// "98.93 ± 0.10 %": with the standard error; without one where the number of images is not known.
std::string score_text(const Score& score);

// "2026-01-01 09:30:00 +01:00" of an iso_time; any other text as it is.
std::string time_text(std::string time);

}  // namespace trainer
