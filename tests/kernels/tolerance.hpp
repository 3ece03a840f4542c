// How far a backend's result may lie from the reference's: one formula for every op and precision.
//
//   |got - want| <= kSafety u (sqrt(length) scale + |want|)
//
// u is the unit roundoff of the precision, length the number of terms summed into one element, scale the largest |want|
// of the tensor or, if larger, the largest single term. A sum of `length` terms makes one rounding error of at most u
// |partial sum| for each term. The errors' signs are practically random, so their sum grows with the square root of
// their number (Higham and Mary 2019), and an element's partial sums are no larger than the tensor's largest values,
// however much cancels in the element itself. The linear worst case would accept a kernel that drops terms.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "kernels/precision.hpp"

namespace trainer {

// The unit roundoff of a product's inputs; sums are in fp32 everywhere.
inline double unit_roundoff(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return 0x1p-24;
    case Precision::tf32:
    case Precision::fp16:
      return 0x1p-11;
    case Precision::bf16:
      return 0x1p-8;
  }
  return 0;
}

// The largest magnitude.
inline double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

struct Tolerance {
  Precision precision = Precision::fp32;
  double length = 1;        // terms summed into one element
  double term = 0;          // largest single term, if known
  double zeros = 0.3;       // fraction of zeros in the reference from which a comparison is meaningless
  std::size_t counted = 0;  // the fraction is of the first `counted` elements; 0: of all. Masked rows are
                            // zero by design.
};

// got within tolerance of want, element by element. The message names the worst element and the fraction of the
// allowance that it used.
inline testing::AssertionResult near(const std::vector<float>& got, const std::vector<double>& want,
                                     const Tolerance& tolerance) {
  constexpr double kSafety = 4;
  if (got.size() != want.size()) {
    return testing::AssertionFailure() << fmt::format("{} elements, not {}", got.size(), want.size());
  }
  double scale = 0;
  for (const double value : want) scale = std::max(scale, std::abs(value));
  const std::size_t counted = tolerance.counted > 0 ? tolerance.counted : want.size();
  const auto end = want.begin() + static_cast<std::ptrdiff_t>(counted);
  const double zeros = static_cast<double>(std::count(want.begin(), end, 0.0)) / static_cast<double>(counted);
  if (scale == 0 || zeros > tolerance.zeros) {
    return testing::AssertionFailure()
           << fmt::format("meaningless: {:.0f} % of the reference is zero", 100 * zeros);
  }
  scale = std::max(scale, tolerance.term);
  const double unit = kSafety * unit_roundoff(tolerance.precision);
  double worst = 0;
  std::size_t worst_index = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) {
      return testing::AssertionFailure() << fmt::format("[{}] is {}, not {:.9g}", i, got[i], want[i]);
    }
    const double allowed = unit * (std::sqrt(tolerance.length) * scale + std::abs(want[i]));
    const double used = std::abs(got[i] - want[i]) / allowed;
    if (used > worst) {
      worst = used;
      worst_index = i;
    }
  }
  const std::string text = fmt::format("[{}] is {:.9g}, not {:.9g}: {:.2f} of the tolerance", worst_index,
                                       got[worst_index], want[worst_index], worst);
  return worst <= 1 ? testing::AssertionSuccess() << text : testing::AssertionFailure() << text;
}

}  // namespace trainer
