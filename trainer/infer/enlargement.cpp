// An enlargement is linear and separable: picture = U_rows image U_columns^T, where row j of U holds the
// weights of the old pixels in new pixel j. The image is P_rows picture P_columns^T with P = (U^T U)^-1 U^T,
// and is believed if enlarging it gives the picture back.
#include "trainer/infer/enlargement.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace trainer {
namespace {

// Root of the squared differences, relative to the picture's own. Rounding to bytes alone makes 0.002; cubic
// overshoots that were cut off at black and white, or some noise, make up to 0.05.
constexpr double kRoundingError = 0.01;
constexpr double kBelievedError = 0.1;
constexpr int kLargestEdge = 1024;  // larger pictures are not worth the time

enum class Interpolation { kNearest, kLinear, kCubic };

struct Matrix {
  int rows = 0;
  int columns = 0;
  std::vector<double> values;  // [rows, columns]

  Matrix(int row_count, int column_count)
      : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count) * column_count) {}
  double& at(int row, int column) { return values[static_cast<std::size_t>(row) * columns + column]; }
  double at(int row, int column) const { return values[static_cast<std::size_t>(row) * columns + column]; }
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
    for (int k = 0; k < a.columns; ++k) {
      const double factor = a.at(i, k);
      if (factor == 0) continue;
      for (int j = 0; j < b.columns; ++j) result.at(i, j) += factor * b.at(k, j);
    }
  return result;
}

// The weight of an old pixel that a new one is `distance` old pixels beyond. Cubic: Keys' kernel with a =
// -1/2.
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

// U: [new_size, old_size], each row's sum 1.
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

// Solves a x = b for a positive definite `a` [n, n] and b [n, m], by Gauss's elimination.
Matrix solve(Matrix a, Matrix b) {
  const int n = a.rows;
  for (int pivot = 0; pivot < n; ++pivot)
    for (int i = 0; i < n; ++i) {
      if (i == pivot) continue;
      const double factor = a.at(i, pivot) / a.at(pivot, pivot);
      if (factor == 0) continue;
      for (int j = pivot; j < n; ++j) a.at(i, j) -= factor * a.at(pivot, j);
      for (int j = 0; j < b.columns; ++j) b.at(i, j) -= factor * b.at(pivot, j);
    }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < b.columns; ++j) b.at(i, j) /= a.at(i, i);
  return b;
}

Matrix pseudo_inverse(const Matrix& u) {
  Matrix ut = transposed(u);
  Matrix square = product(ut, u);
  return solve(std::move(square), std::move(ut));
}

struct Attempt {
  Matrix image;
  double error = 0;  // relative
};

Attempt attempt(Interpolation interpolation, const Matrix& picture, int height, int width) {
  const Matrix rows = enlargement(interpolation, picture.rows, height);
  const Matrix columns = enlargement(interpolation, picture.columns, width);
  Matrix image = product(product(pseudo_inverse(rows), picture), transposed(pseudo_inverse(columns)));
  const Matrix again = product(product(rows, image), transposed(columns));
  double difference = 0;
  double whole = 0;
  for (std::size_t i = 0; i < again.values.size(); ++i) {
    difference += std::pow(again.values[i] - picture.values[i], 2);
    whole += std::pow(picture.values[i], 2);
  }
  return {std::move(image), whole > 0 ? std::sqrt(difference / whole) : 1};
}

}  // namespace

std::optional<Plane> undo_enlargement(const Plane& picture, int height, int width) {
  if (picture.height < height || picture.width < width) return std::nullopt;
  if (picture.height > kLargestEdge || picture.width > kLargestEdge) return std::nullopt;
  Matrix values(picture.height, picture.width);
  std::ranges::copy(picture.values, values.values.begin());
  Attempt best{Matrix(0, 0), kBelievedError};
  for (const auto interpolation : {Interpolation::kNearest, Interpolation::kLinear, Interpolation::kCubic}) {
    if (best.error < kRoundingError) break;
    Attempt one = attempt(interpolation, values, height, width);
    if (one.error < best.error) best = std::move(one);
  }
  if (best.image.values.empty()) return std::nullopt;
  Plane image{height, width, {}};
  for (const double value : best.image.values) image.values.push_back(static_cast<float>(value));
  return image;
}

}  // namespace trainer
