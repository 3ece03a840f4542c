// Both directions are separable. resample() makes rows first, then columns: a list of weighted old rows (or columns) for each
// new one. An enlargement is E = U_rows I U_columns^T, where row j of U holds the weights of the old pixels in new pixel j; its
// image I is found by least squares, and is believed if enlarging it gives E back.
#include "trainer/infer/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace trainer {
namespace {

struct Tap {
  int index = 0;
  float weight = 0;
};
using Taps = std::vector<Tap>;

struct Line {
  int old_size = 0;
  double start = 0;  // of the window, in old pixels
  double step = 0;   // old pixels a new pixel
  Outside outside = Outside::kZero;
};

void add_tap(Taps& taps, const Line& line, int index, double weight) {
  const bool inside = index >= 0 && index < line.old_size;
  if (weight <= 0 || (!inside && line.outside == Outside::kZero)) return;
  taps.push_back({std::clamp(index, 0, line.old_size - 1), static_cast<float>(weight)});
}

// The old pixels that make new pixel `index`.
Taps taps_of(const Line& line, int index) {
  Taps taps;
  const double begin = line.start + index * line.step;
  const double end = begin + line.step;
  if (line.step < 1) {
    const double centre = (begin + end) / 2 - 0.5;
    const int below = static_cast<int>(std::floor(centre));
    add_tap(taps, line, below, 1 - (centre - below));
    add_tap(taps, line, below + 1, centre - below);
    return taps;
  }
  for (int old = static_cast<int>(std::floor(begin)); old < end; ++old)
    add_tap(taps, line, old, (std::min(end, old + 1.0) - std::max<double>(begin, old)) / line.step);
  return taps;
}

Plane resample_rows(const Plane& plane, const PictureWindow& window, int height, Outside outside) {
  Plane result{height, plane.width, std::vector<float>(static_cast<std::size_t>(height) * plane.width)};
  const Line line{plane.height, window.top, window.height / height, outside};
  for (int y = 0; y < height; ++y) {
    float* row = result.values.data() + static_cast<std::ptrdiff_t>(y) * plane.width;
    for (const Tap& tap : taps_of(line, y)) {
      const float* old_row = plane.values.data() + static_cast<std::ptrdiff_t>(tap.index) * plane.width;
      for (int x = 0; x < plane.width; ++x) row[x] += tap.weight * old_row[x];
    }
  }
  return result;
}

Plane resample_columns(const Plane& plane, const PictureWindow& window, int width, Outside outside) {
  Plane result{plane.height, width, std::vector<float>(static_cast<std::size_t>(plane.height) * width)};
  const Line line{plane.width, window.left, window.width / width, outside};
  for (int x = 0; x < width; ++x) {
    const Taps taps = taps_of(line, x);
    for (int y = 0; y < plane.height; ++y) {
      const float* old_row = plane.values.data() + static_cast<std::ptrdiff_t>(y) * plane.width;
      float sum = 0;
      for (const Tap& tap : taps) sum += tap.weight * old_row[tap.index];
      result.values[static_cast<std::size_t>(y) * width + x] = sum;
    }
  }
  return result;
}

// The root of the squared differences, relative to the enlargement's own. Rounding to bytes alone makes 0.002; cubic overshoots
// that were cut off at black and white, or some noise, make up to 0.05.
constexpr double kRoundingError = 0.01;
constexpr double kBelievedError = 0.1;
constexpr int kLargestEdge = 1024;  // larger images are not worth the time

enum class Interpolation { kNearest, kLinear, kCubic };

struct Matrix {
  int rows = 0;
  int columns = 0;
  std::vector<double> values;  // [rows, columns]

  Matrix(int row_count, int column_count)
      : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count) * column_count) {}
  double& at(int row, int column) { return values[static_cast<std::size_t>(row) * columns + column]; }
  double at(int row, int column) const { return values[static_cast<std::size_t>(row) * columns + column]; }

  // Row `to` += factor * row `from` of `other`, from column `begin` on.
  void add_row(int to, double factor, const Matrix& other, int from, int begin = 0) {
    if (factor == 0) return;
    for (int j = begin; j < columns; ++j) at(to, j) += factor * other.at(from, j);
  }
};

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix.columns, matrix.rows);
  for (int i = 0; i < matrix.rows; ++i)
    for (int j = 0; j < matrix.columns; ++j) result.at(j, i) = matrix.at(i, j);
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.rows, b.columns);
  for (int i = 0; i < a.rows; ++i)
    for (int k = 0; k < a.columns; ++k) result.add_row(i, a.at(i, k), b, k);
  return result;
}

// The weight of an old pixel in a new one which lies `distance` old pixels beyond it. Cubic is Keys' kernel with a = -1/2.
double kernel(Interpolation interpolation, double distance) {
  const double t = std::abs(distance);
  switch (interpolation) {
    case Interpolation::kNearest:
      return distance >= -0.5 && distance < 0.5 ? 1 : 0;  // a tie goes to the later pixel
    case Interpolation::kLinear:
      return std::max(0.0, 1 - t);
    case Interpolation::kCubic:
      if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
      return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
  }
  return 0;
}

// U: [new_size, old_size]; the sum of each row is 1.
Matrix enlargement(Interpolation interpolation, int new_size, int old_size) {
  Matrix weights(new_size, old_size);
  for (int j = 0; j < new_size; ++j) {
    const double position = (j + 0.5) * old_size / new_size - 0.5;
    double sum = 0;
    for (int i = 0; i < old_size; ++i) sum += weights.at(j, i) = kernel(interpolation, position - i);
    for (int i = 0; i < old_size; ++i) weights.at(j, i) /= sum;
  }
  return weights;
}

// The x whose product u x comes closest to b: (u^T u) x = u^T b, by Gauss's elimination.
Matrix least_squares(const Matrix& u, const Matrix& b) {
  const Matrix ut = transposed(u);
  Matrix a = product(ut, u);
  Matrix x = product(ut, b);
  for (int pivot = 0; pivot < a.rows; ++pivot)
    for (int i = 0; i < a.rows; ++i) {
      if (i == pivot) continue;
      const double factor = -a.at(i, pivot) / a.at(pivot, pivot);
      a.add_row(i, factor, a, pivot, pivot);
      x.add_row(i, factor, x, pivot);
    }
  for (int i = 0; i < a.rows; ++i)
    for (int j = 0; j < x.columns; ++j) x.at(i, j) /= a.at(i, i);
  return x;
}

struct Attempt {
  Matrix image;
  double error = 0;  // relative
};

Attempt attempt(Interpolation interpolation, const Matrix& enlarged, int height, int width) {
  const Matrix rows = enlargement(interpolation, enlarged.rows, height);
  const Matrix columns = enlargement(interpolation, enlarged.columns, width);
  Matrix image = transposed(least_squares(columns, transposed(least_squares(rows, enlarged))));
  const Matrix again = product(product(rows, image), transposed(columns));
  double difference = 0;
  double whole = 0;
  for (std::size_t i = 0; i < again.values.size(); ++i) {
    difference += std::pow(again.values[i] - enlarged.values[i], 2);
    whole += std::pow(enlarged.values[i], 2);
  }
  return {std::move(image), whole > 0 ? std::sqrt(difference / whole) : 1};
}

}  // namespace

Plane resample(const Plane& plane, const PictureWindow& window, int height, int width, Outside outside) {
  return resample_columns(resample_rows(plane, window, height, outside), window, width, outside);
}

std::optional<Plane> undo_enlargement(const Plane& enlarged, int height, int width) {
  if (enlarged.height < height || enlarged.width < width) return std::nullopt;
  if (enlarged.height > kLargestEdge || enlarged.width > kLargestEdge) return std::nullopt;
  Matrix values(enlarged.height, enlarged.width);
  std::ranges::copy(enlarged.values, values.values.begin());
  Attempt best{Matrix(0, 0), kBelievedError};
  for (const auto interpolation : {Interpolation::kNearest, Interpolation::kLinear, Interpolation::kCubic}) {
    if (best.error < kRoundingError) break;
    Attempt one = attempt(interpolation, values, height, width);
    if (one.error < best.error) best = std::move(one);
  }
  if (best.image.values.empty()) return std::nullopt;
  return Plane{height, width, {best.image.values.begin(), best.image.values.end()}};
}

}  // namespace trainer
