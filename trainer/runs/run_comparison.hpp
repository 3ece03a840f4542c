// `trainer runs compare`: how fast runs were, side by side, the first one being the measure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/runs/epoch_times.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/runs/rank_interval.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {

struct ComparisonOptions {
  double accuracy = 0.99;      // whose time is asked for
  std::vector<double> prices;  // an hour: none, one for all runs, or one a run
};

struct ComparedRun {
  std::string letter;  // "A"
  EpochTimes times;
  std::optional<Spread> seconds;            // of the timed epochs; absent without one
  std::optional<double> images_per_second;  // at the median
  // Images a second as a multiple of the first run's, by rank_interval.hpp; absent where one has no timed
  // epoch.
  std::optional<RatioEstimate> speed;
  std::optional<AccuracyReached> reached;
  std::optional<double> energy_joules;
  std::optional<double> price;             // of an hour
  std::optional<double> cost;              // of the run
  std::optional<double> cost_to_accuracy;  // of what `reached` took
};

// Of at least one run. Throws UsageError where the prices are neither one nor as many as the runs.
[[nodiscard]] std::vector<ComparedRun> compare_runs(const std::vector<KnownRun>& runs,
                                                    const ComparisonOptions& options);

// Lines, each ended: which run is which.
[[nodiscard]] std::string comparison_legend(const std::vector<KnownRun>& runs);
[[nodiscard]] std::string comparison_text(const std::vector<KnownRun>& runs,
                                          const std::vector<ComparedRun>& compared,
                                          const ComparisonOptions& options);
// An array, one object a run.
[[nodiscard]] nlohmann::ordered_json comparison_json(const std::vector<KnownRun>& runs,
                                                     const std::vector<ComparedRun>& compared);

}  // namespace trainer
