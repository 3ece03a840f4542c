// Both directions are separable: a new image is R I C^T, where row i of R (or of C) holds the weights of the old rows (or
// columns) in new row (or column) i. To undo an enlargement, the image I is found by least squares, and is believed if enlarging
// it gives the enlargement back.
#include "trainer/infer/resample.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainer {
namespace {

struct Matrix {
  int height = 0;
  int width = 0;
  std::vector<double> values;  // [height, width]

  Matrix(int rows, int columns)
      : height(rows),
        width(columns),
        values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)) {}
  double* row(int index) { return values.data() + static_cast<std::ptrdiff_t>(index) * width; }
  const double* row(int index) const { return values.data() + static_cast<std::ptrdiff_t>(index) * width; }
};

// `to` += factor * `from`, two rows.
void add_row(double* to, double factor, const auto* from, int width) {
  for (int j = 0; j < width; ++j) to[j] += factor * from[j];
}

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix.width, matrix.height);
  for (int i = 0; i < matrix.height; ++i)
    for (int j = 0; j < matrix.width; ++j) result.row(j)[i] = matrix.row(i)[j];
  return result;
}

// a b, for an `a` that is mostly zeros. `b` is a Matrix or a Plane.
Matrix product(const Matrix& a, const auto& b) {
  Matrix result(a.height, b.width);
  for (int i = 0; i < a.height; ++i)
    for (int k = 0; k < a.width; ++k)
      if (const double factor = a.row(i)[k]; factor != 0)
        add_row(result.row(i), factor, b.values.data() + static_cast<std::ptrdiff_t>(k) * b.width, b.width);
  return result;
}

// R I C^T.
Matrix transformed(const Matrix& rows, const auto& image, const Matrix& columns) {
  return transposed(product(columns, transposed(product(rows, image))));
}

Plane plane_of(const Matrix& matrix) {
  return {matrix.height, matrix.width, {matrix.values.begin(), matrix.values.end()}};
}

// The weights of the old pixels along one axis in the new ones, which divide `length` old pixels from `start` on.
Matrix resampling(int new_size, int old_size, double start, double length, Outside outside) {
  Matrix weights(new_size, old_size);
  const double step = length / new_size;
  for (int i = 0; i < new_size; ++i) {
    const auto add = [&](int index, double weight) {
      const bool inside = index >= 0 && index < old_size;
      if (weight > 0 && (inside || outside == Outside::kNearestEdge))
        weights.row(i)[std::clamp(index, 0, old_size - 1)] += weight;
    };
    const double begin = start + i * step;
    const double end = begin + step;
    if (step < 1) {
      const double centre = (begin + end) / 2 - 0.5;
      const int below = static_cast<int>(std::floor(centre));
      add(below, 1 - (centre - below));
      add(below + 1, centre - below);
      continue;
    }
    for (int old = static_cast<int>(std::floor(begin)); old < end; ++old)
      add(old, (std::min(end, old + 1.0) - std::max<double>(begin, old)) / step);
  }
  return weights;
}

// The root of the summed squared differences, relative to that of the enlargement. Rounding to bytes alone gives 0.002; cubic
// overshoots that were clipped at black and white, or some noise, give up to 0.05.
constexpr double kRoundingError = 0.01;
constexpr double kBelievedError = 0.1;
constexpr int kLargestEdge = 1024;  // larger images are not worth the time

enum class Interpolation { kNearest, kLinear, kCubic };

// The weight of an old pixel in a new one `distance` old pixels beyond it. Cubic is Keys' kernel with a = -1/2.
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

// The weights of the old pixels along one axis in the new ones of an enlargement; the sum of each row is 1.
Matrix enlargement(Interpolation interpolation, int new_size, int old_size) {
  Matrix weights(new_size, old_size);
  for (int j = 0; j < new_size; ++j) {
    const double position = (j + 0.5) * old_size / new_size - 0.5;
    double* row = weights.row(j);
    double sum = 0;
    for (int i = 0; i < old_size; ++i) sum += row[i] = kernel(interpolation, position - i);
    for (int i = 0; i < old_size; ++i) row[i] /= sum;
  }
  return weights;
}

// The x for which u x comes closest to b: (u^T u) x = u^T b, by Gaussian elimination.
Matrix least_squares(const Matrix& u, const auto& b) {
  const Matrix ut = transposed(u);
  Matrix a = product(ut, u);
  Matrix x = product(ut, b);
  for (int pivot = 0; pivot < a.height; ++pivot)
    for (int i = 0; i < a.height; ++i) {
      const double factor = -a.row(i)[pivot] / a.row(pivot)[pivot];
      if (i == pivot || factor == 0) continue;
      add_row(a.row(i), factor, a.row(pivot), a.width);
      add_row(x.row(i), factor, x.row(pivot), x.width);
    }
  for (int i = 0; i < a.height; ++i)
    for (int j = 0; j < x.width; ++j) x.row(i)[j] /= a.row(i)[i];
  return x;
}

struct Attempt {
  Matrix image;
  double error = 0;  // relative
};

Attempt attempt(Interpolation interpolation, const Plane& enlarged, int height, int width) {
  const Matrix rows = enlargement(interpolation, enlarged.height, height);
  const Matrix columns = enlargement(interpolation, enlarged.width, width);
  Matrix image = transposed(least_squares(columns, transposed(least_squares(rows, enlarged))));
  const Matrix again = transformed(rows, image, columns);
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
  return plane_of(transformed(resampling(height, plane.height, window.top, window.height, outside), plane,
                              resampling(width, plane.width, window.left, window.width, outside)));
}

std::optional<Plane> undo_enlargement(const Plane& enlarged, int height, int width) {
  if (enlarged.height < height || enlarged.width < width) return std::nullopt;
  if (enlarged.height > kLargestEdge || enlarged.width > kLargestEdge) return std::nullopt;
  Attempt best{Matrix(0, 0), kBelievedError};
  for (const auto interpolation : {Interpolation::kNearest, Interpolation::kLinear, Interpolation::kCubic}) {
    if (best.error < kRoundingError) break;
    Attempt one = attempt(interpolation, enlarged, height, width);
    if (one.error < best.error) best = std::move(one);
  }
  return best.image.values.empty() ? std::nullopt : std::optional(plane_of(best.image));
}

}  // namespace trainer
