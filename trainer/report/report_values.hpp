// Values of a run's record as rows of text, for tables: what runs have in common and what not. A record may
// hold parts that this program does not know: they are shown under the names that they have there.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

struct ReportValue {
  std::string key;   // as in run.json: "recipe.batch"
  std::string text;  // for people: times, sizes and shares with their units, told by the key
};

inline constexpr std::size_t kMostReportValues = 300;

// Objects within become "outer.inner"; lists are one value. Not more than kMostReportValues.
std::vector<ReportValue> values_of(const nlohmann::ordered_json& json, const std::string& prefix = "");

std::vector<ReportValue> result_values(const KnownRun& run);
std::vector<ReportValue> configuration_values(const KnownRun& run);

// "98.93 ± 0.10 %": with the standard error; without one where the number of images is not known.
std::string score_text(const Score& score);

// "2026-01-01 09:30:00 +01:00" of an iso_time; any other text as it is.
std::string time_text(std::string time);

struct ValueRow {
  std::string key;
  std::vector<std::string> texts;  // one a run; empty where a run has no such value
  bool differs() const;
};

// The keys in the order in which they come up.
std::vector<ValueRow> side_by_side(const std::vector<std::vector<ReportValue>>& runs);

}  // namespace trainer
