// How many times as large one quantity is as another, from a few measurements of each, with an interval.
//   Estimate: the median of all ratios x / y of a measurement x of the one and y of the other (Hodges and
//   Lehmann, Annals of Mathematical Statistics 34, 1963, for the logarithms).
//   Interval: from the k-th smallest to the k-th largest of these ratios, where k is the largest number with
//   P(U < k) <= (1 - level) / 2 for the Mann-Whitney statistic U of two samples of these sizes (Moses;
//   Hollander and Wolfe, Nonparametric Statistical Methods, section 4.3). It assumes no distribution but that
//   both have the same shape but for a factor; and that measurements are independent, which epochs of one run
//   are only roughly: the interval speaks of these two runs, not of other days or machines.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace trainer {

struct RatioInterval {
  double low = 0;
  double high = 0;
};

struct RatioEstimate {
  double ratio = 0;
  // Absent where the samples are too small: no interval of these ratios then reaches the level.
  std::optional<RatioInterval> interval;
};

inline constexpr double kIntervalLevel = 0.95;

// Of positive, finite measurements, at least one of each; of more than 1000 the last 1000 are taken.
[[nodiscard]] RatioEstimate estimate_ratio(const std::vector<double>& numerators,
                                           const std::vector<double>& denominators);

// The k above for samples of m and n; 0: there is none. Exact for up to 50 measurements in all, else by the
// normal approximation of U.
[[nodiscard]] std::size_t interval_rank(std::size_t m, std::size_t n);

}  // namespace trainer
