// `input: {normalize: image}`: every image gets a mean of 0 and a deviation of 1 over all its pixels and channels,
//   x = (x - mean) / max(deviation, 1 / sqrt(count))
// as tf.image.per_image_standardization does; the floor makes an image of a single value all zeros. Sums are in double: those of
// pixels are whole numbers and exact; interpolated pixels are added in one order, so that the portable engine has the same bits
// everywhere.
#pragma once

#include "kernels/math/division.hpp"

namespace trainer {

struct Standardisation {
  float mean, factor;
  HOST_DEVICE float of(float x) const { return (x - mean) * factor; }
};

// Of an image with the sums of its `count` values and of their squares. count^2 deviation^2 = count squares - sum^2.
HOST_DEVICE Standardisation standardisation_of(double sum, double squares, double count) {
  const double spread = count * squares - sum * sum;
  const double root = exact_root(spread > count ? spread : count);
  return {static_cast<float>(exact_quotient(sum, count)), static_cast<float>(exact_quotient(count, root))};
}

// Standardises an image in place.
HOST_DEVICE void standardise(float* x, int count) {
  double sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    sum = sum + value;
    squares = squares + value * value;
  }
  const Standardisation s = standardisation_of(sum, squares, static_cast<double>(count));
  for (int i = 0; i < count; ++i) x[i] = s.of(x[i]);
}

}  // namespace trainer
