// Ranks of the Mann-Whitney statistic, exact or from its normal approximation, and the ratios at these ranks.
#include <algorithm>
#include <cmath>
#include <span>

#include "trainer/runs/run_comparison.hpp"

namespace trainer {

namespace {

constexpr double kTail = (1 - kIntervalLevel) / 2;
constexpr double kNormalQuantile = 1.959963984540054;  // of 1 - kTail
constexpr std::size_t kMostExact = 50;
constexpr std::size_t kMostMeasurements = 1000;

// For each u from 0 to m n, the number of orders of m and n values in which U = u. These are the coefficients of the Gaussian
// binomial
//   (1 - q^(n+1)) ... (1 - q^(n+m)) / ((1 - q) ... (1 - q^m)).
// Doubles hold these counts, which have up to 47 bits.
std::vector<double> orders_of(std::size_t m, std::size_t n) {
  std::vector<double> counts(m * n + 1, 0.0);
  counts[0] = 1;
  for (std::size_t i = 1; i <= m; ++i) {
    for (std::size_t u = m * n; u >= n + i; --u) counts[u] -= counts[u - n - i];
    for (std::size_t u = i; u <= m * n; ++u) counts[u] += counts[u - i];
  }
  return counts;
}

std::size_t exact_rank(std::size_t m, std::size_t n) {
  const std::vector<double> orders = orders_of(m, n);
  double all = 0;
  for (const double count : orders) all += count;
  std::size_t rank = 0;
  double below = 0;
  while (rank < orders.size() && below + orders[rank] <= kTail * all) below += orders[rank++];
  return rank;
}

std::size_t normal_rank(std::size_t m, std::size_t n) {
  const auto a = static_cast<double>(m);
  const auto b = static_cast<double>(n);
  const double rank = std::floor(a * b / 2 - kNormalQuantile * std::sqrt(a * b * (a + b + 1) / 12));
  return rank > 0 ? static_cast<std::size_t>(rank) : 0;
}

std::span<const double> last_of(const std::vector<double>& values) {
  return std::span(values).last(std::min(values.size(), kMostMeasurements));
}

}  // namespace

std::size_t interval_rank(std::size_t m, std::size_t n) {
  return m + n <= kMostExact ? exact_rank(m, n) : normal_rank(m, n);
}

// The two middle ratios are averaged as logarithms, so that the inverse ratio has the inverse estimate.
RatioEstimate estimate_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  std::vector<double> ratios;
  for (const double x : last_of(numerators))
    for (const double y : last_of(denominators)) ratios.push_back(x / y);
  std::ranges::sort(ratios);
  const std::size_t middle = ratios.size() / 2;
  RatioEstimate estimate;
  estimate.ratio = ratios.size() % 2 == 1 ? ratios[middle] : std::sqrt(ratios[middle - 1] * ratios[middle]);
  const std::size_t rank = interval_rank(last_of(numerators).size(), last_of(denominators).size());
  if (rank > 0) {
    estimate.low = ratios[rank - 1];
    estimate.high = ratios[ratios.size() - rank];
  }
  return estimate;
}

}  // namespace trainer
