// The number of orders of m and n values in which U = u follows from the largest value of all: it is of the
// first sample (then it exceeds all n of the second) or of the second (then it adds nothing).
//   count(m, n, u) = count(m - 1, n, u - n) + count(m, n - 1, u)
#include "trainer/runs/rank_interval.hpp"

#include <algorithm>
#include <cmath>
#include <span>

namespace trainer {

namespace {

constexpr double kTail = (1 - kIntervalLevel) / 2;
constexpr double kNormalQuantile = 1.959963984540054;  // of 1 - kTail
constexpr std::size_t kMostExact = 50;
constexpr std::size_t kMostMeasurements = 1000;

// Of each u from 0 to m n, how many of the orders have it. Doubles hold the counts, which have up to 47 bits.
std::vector<double> orders_of(std::size_t m, std::size_t n) {
  std::vector<std::vector<double>> of_n(n + 1, {1});  // count(i, ., .) for the i of the turn, from 0
  for (std::size_t i = 1; i <= m; ++i) {
    for (std::size_t j = 0; j <= n; ++j) {
      std::vector<double> counts(i * j + 1, 0.0);
      for (std::size_t u = 0; u < of_n[j].size(); ++u) counts[u + j] += of_n[j][u];
      for (std::size_t u = 0; j > 0 && u < of_n[j - 1].size(); ++u) counts[u] += of_n[j - 1][u];
      of_n[j] = std::move(counts);
    }
  }
  return of_n[n];
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
  const std::span<const double> above = last_of(numerators);
  const std::span<const double> below = last_of(denominators);
  std::vector<double> ratios;
  ratios.reserve(above.size() * below.size());
  for (const double x : above)
    for (const double y : below) ratios.push_back(x / y);
  std::ranges::sort(ratios);
  RatioEstimate estimate;
  const std::size_t middle = ratios.size() / 2;
  estimate.ratio = ratios.size() % 2 == 1 ? ratios[middle] : std::sqrt(ratios[middle - 1] * ratios[middle]);
  const std::size_t rank = interval_rank(above.size(), below.size());
  if (rank > 0) estimate.interval = RatioInterval{ratios[rank - 1], ratios[ratios.size() - rank]};
  return estimate;
}

}  // namespace trainer
