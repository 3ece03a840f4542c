// The median and the range of a few measurements.
#pragma once

#include <algorithm>
#include <vector>

namespace trainer {

// The middle value, or the mean of the two middle ones. `values` holds at least one.
template <class Number>
[[nodiscard]] Number median(std::vector<Number> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return values.size() % 2 == 1 ? *middle : (*std::max_element(values.begin(), middle) + *middle) / 2;
}

struct Spread {
  double median = 0, least = 0, most = 0;
};

// `values` holds at least one.
[[nodiscard]] inline Spread spread_of(const std::vector<double>& values) {
  return {median(values), *std::ranges::min_element(values), *std::ranges::max_element(values)};
}

}  // namespace trainer
