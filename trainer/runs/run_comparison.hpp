// `trainer runs compare`: how fast runs were, side by side, the first one being the measure.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ComparisonOptions {
  double accuracy = 0.99;      // whose time is asked for
  std::vector<double> prices;  // an hour: none, one for all runs, or one a run
};

// An array, one object a run; what a run does not have is null. "speed": images a second as a multiple of the first run's
// (rank_interval.cpp); "reached": the first evaluation whose accuracy on the test images is at least `accuracy`, and the seconds of
// training and tests until then (of a sprint the mean over its seeds, and the median of their times); "cost" of the run, and of
// what "reached" took. Throws UsageError where the prices are neither one nor as many as the runs.
[[nodiscard]] nlohmann::ordered_json compare_runs(const std::vector<KnownRun>& runs,
                                                  const ComparisonOptions& options);

// Lines, each ended: which run is which; and what compare_runs() gave.
[[nodiscard]] std::string comparison_legend(const std::vector<KnownRun>& runs);
[[nodiscard]] std::string comparison_text(const std::vector<KnownRun>& runs,
                                          const nlohmann::ordered_json& compared,
                                          const ComparisonOptions& options);

// How many times as large one quantity is as another, from a few measurements of each, with an interval.
//   Estimate: the median of all ratios x / y of a measurement x of the one and y of the other (Hodges and
//   Lehmann, Annals of Mathematical Statistics 34, 1963, for the logarithms).
//   Interval: from the k-th smallest to the k-th largest of these ratios, where k is the largest number with
//   P(U < k) <= (1 - level) / 2 for the Mann-Whitney statistic U of two samples of these sizes (Moses;
//   Hollander and Wolfe, Nonparametric Statistical Methods, section 4.3). It assumes no distribution but that
//   both have the same shape but for a factor; and that measurements are independent, which epochs of one run
//   are only roughly: the interval speaks of these two runs, not of other days or machines.
struct RatioEstimate {
  double ratio = 0;
  std::optional<double> low, high;  // absent where the samples are too small for an interval of the level
};

inline constexpr double kIntervalLevel = 0.95;

// Of positive, finite measurements, at least one of each; of more than 1000 the last 1000 are taken.
[[nodiscard]] RatioEstimate estimate_ratio(const std::vector<double>& numerators,
                                           const std::vector<double>& denominators);

// The k above for samples of m and n; 0: there is none. Exact for up to 50 measurements in all, else by the
// normal approximation of U.
[[nodiscard]] std::size_t interval_rank(std::size_t m, std::size_t n);

}  // namespace trainer
