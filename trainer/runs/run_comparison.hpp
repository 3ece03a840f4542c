// `trainer runs compare`: the speed and results of runs side by side. The first run is the measure.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
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
[[nodiscard]] ordered_json compare_runs(const std::vector<KnownRun>& runs, const ComparisonOptions& options);

// Lines of text: which run is which, and what compare_runs() returned.
[[nodiscard]] std::string comparison_legend(const std::vector<KnownRun>& runs);
[[nodiscard]] std::string comparison_text(const std::vector<KnownRun>& runs, const ordered_json& compared,
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

// The configuration and machine of runs as named values, and the values in which runs differ.

// `json` as one object that contains no other objects, down to a depth of 7: a value's name is the path to it, "recipe.batch".
// Members for which `left_out` returns true are not taken.
[[nodiscard]] ordered_json flattened(const ordered_json& json,
                                     bool (*left_out)(std::string_view member,
                                                      const ordered_json& value) = nullptr);

// An array of {"name", "values"}: a value for each run, null if it has none. Each run is an object of named values. The names are
// in the order of their first appearance.
[[nodiscard]] ordered_json side_by_side(const std::vector<ordered_json>& runs);
// The rows whose values are not all equal.
[[nodiscard]] ordered_json different_rows(const ordered_json& rows);

[[nodiscard]] ordered_json data_json(const RunRecord::DataSet& data);

// Rows as above, in the order of a record. They leave out when a run was made and how it went, and the state of the machine at the
// time (free memory, clocks, temperatures).
[[nodiscard]] ordered_json differences(const std::vector<KnownRun>& runs);

// A table of the values that fit the width, and below it a block for each name with longer values: no value is cut. It is one line
// if nothing differs. letter_of() names the runs.
[[nodiscard]] std::string differences_text(const ordered_json& differences);

}  // namespace trainer
