// `trainer runs compare`: the speed and results of runs side by side. The first run is the measure.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ComparisonOptions {
  double accuracy = 0.99;      // the time to reach it is compared
  std::vector<double> prices;  // of an hour: none, one for all runs, or one for each
};

// An array with an object for each run; what a run does not have is null.
//   "speed": images a second as a multiple of the first run's, by estimate_ratio().
//   "reached": the first evaluation whose accuracy on the test images is at least `accuracy`, and the seconds of training and tests
//   until then. A sprint reaches it if the mean over its seeds does; the seconds are the median over the seeds.
//   "cost", "cost_to_accuracy": of the run, and of what "reached" took.
// Throws UsageError if the prices are neither one nor as many as the runs.
[[nodiscard]] nlohmann::ordered_json compare_runs(const std::vector<KnownRun>& runs,
                                                  const ComparisonOptions& options);

// Lines of text: which run is which, and what compare_runs() returned.
[[nodiscard]] std::string comparison_legend(const std::vector<KnownRun>& runs);
[[nodiscard]] std::string comparison_text(const std::vector<KnownRun>& runs,
                                          const nlohmann::ordered_json& compared,
                                          const ComparisonOptions& options);

// How many times as large one quantity is as another, from a few measurements of each, with an interval.
//   Estimate: the median of all ratios x / y of a measurement x of the one and y of the other (Hodges and
//   Lehmann, Annals of Mathematical Statistics 34, 1963, for the logarithms).
//   Interval: from the k-th smallest to the k-th largest of these ratios, where k is the largest number with
//   P(U < k) <= (1 - level) / 2 for the Mann-Whitney statistic U of two samples of these sizes (Moses;
//   Hollander and Wolfe, Nonparametric Statistical Methods, section 4.3). It assumes only that both
//   distributions have the same shape up to a factor, and that measurements are independent, which is roughly true of epochs of one
//   run: the interval is about these two runs, not about other days or machines.
struct RatioEstimate {
  double ratio = 0;
  std::optional<double> low, high;  // absent where the samples are too small for an interval of the level
};

inline constexpr double kIntervalLevel = 0.95;

// Measurements are positive and finite, at least one of each; of more than 1000 only the last 1000 count.
[[nodiscard]] RatioEstimate estimate_ratio(const std::vector<double>& numerators,
                                           const std::vector<double>& denominators);

// The k above for samples of m and n measurements; 0 if there is none. It is exact for up to 50 measurements in all, else from the
// normal approximation of U.
[[nodiscard]] std::size_t interval_rank(std::size_t m, std::size_t n);

}  // namespace trainer
