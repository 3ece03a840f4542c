// Batch normalisation per channel, then GELU (kernels/op.hpp has the formulas). A channel's sums over the batch are made in two
// kernels: each image adds up its positions, and the images are added in the order of batch_sum.hpp.
#pragma once

#include <cstdint>

#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

// What the kernels of one batch normalisation share. Tables are [in.c].
struct Norm {
  int batch = 0;
  Shape in;
  bool gelu = false;
  int lanes = 1;
  const float* x = nullptr;  // [batch, in]
  const float* mean = nullptr;
  const float* inverse = nullptr;  // 1 / sqrt(variance + epsilon)
  const float* gamma = nullptr;    // null: 1
  const float* beta = nullptr;

  HOST_DEVICE int positions() const { return in.h * in.w; }
  HOST_DEVICE Units units() const { return {batch, pieces(in.c, lanes), 1, 16 * positions()}; }
  template <int L>
  HOST_DEVICE Floats<L> normalised(std::int64_t at, int c) const {
    return (load<L>(x + at) - load<L>(mean + c)) * load<L>(inverse + c);
  }
  template <int L>
  HOST_DEVICE Floats<L> output(Floats<L> normalised, int c) const {
    return (gamma == nullptr ? normalised : normalised * load<L>(gamma + c)) + load<L>(beta + c);
  }
};

// inverse = 1 / sqrt(variance + epsilon), of the squares' sums, and the running statistics; in inference (`sums` null) of the
// running variance. Unit: a channel.
struct NormVariance {
  Rows rows;
  int positions = 1;
  int channels = 1;
  float epsilon = 0;
  float momentum = 0;
  const float* sums = nullptr;  // [batch, channels]
  const float* mean = nullptr;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* inverse = nullptr;

  HOST_DEVICE Units units() const { return {channels, 1, 1, rows.batch}; }
  HOST_DEVICE void unit(int c) const {
    const float variance = sums == nullptr ? running_variance[c] : train(c);
    inverse[c] = portable_div(1.0F, portable_sqrt(variance + epsilon));
  }

 private:
  // The batch's variance of channel c, after updating the running statistics.
  HOST_DEVICE float train(int c) const {
    const float count = element_count(*rows.state, positions);
    const float squares = batch_sum<1>(rows, sums + c, channels);
    const float variance = portable_div(squares, count);
    const float unbiased = count > 1 ? portable_div(squares, count - 1.0F) : variance;
    const float keep = 1.0F - momentum;
    running_mean[c] = keep * running_mean[c] + momentum * mean[c];
    running_variance[c] = keep * running_variance[c] + momentum * unbiased;
    return variance;
  }
};

struct Normalise {
  Norm norm;
  float* y = nullptr;
  int lanes = norm.lanes;

  HOST_DEVICE Units units() const { return norm.units(); }
  template <int L>
  HOST_DEVICE void unit(int n, int tile) const {
    const int c = tile * L;
    std::int64_t at = image_at(n, norm.in) + c;
    for (int i = 0; i < norm.positions(); ++i, at += norm.in.c) {
      Floats<L> value = norm.output<L>(norm.normalised<L>(at, c), c);
      if (norm.gelu) value = gelu<Floats<L>, Words<L>>(value);
      store<L>(y + at, value, norm.in.c - c);
    }
  }
};

// g = dy, times GELU's slope, and each image's sums of g and of g xh, [batch, in.c] each. Only the selected rows.
struct NormSlopes {
  Norm norm;
  Rows rows;
  const float* dy = nullptr;
  float* g = nullptr;
  float* sums = nullptr;
  float* products = nullptr;
  int lanes = norm.lanes;

  HOST_DEVICE Units units() const { return norm.units(); }
  template <int L>
  HOST_DEVICE void unit(int n, int tile) const {
    if (!rows.count(n)) return;
    const int c = tile * L;
    const int count = norm.in.c - c;
    std::int64_t at = image_at(n, norm.in) + c;
    Floats<L> sum{};
    Floats<L> product{};
    for (int i = 0; i < norm.positions(); ++i, at += norm.in.c) {
      const Floats<L> normalised = norm.normalised<L>(at, c);
      Floats<L> slope = load<L>(dy + at);
      if (norm.gelu) slope = slope * gelu_derivative<Floats<L>, Words<L>>(norm.output<L>(normalised, c));
      store<L>(g + at, slope, count);
      sum = sum + slope;
      product = product + slope * normalised;
    }
    store<L>(sums + std::int64_t{n} * norm.in.c + c, sum, count);
    store<L>(products + std::int64_t{n} * norm.in.c + c, product, count);
  }
};

// dx = gamma / sqrt(var + epsilon) (g - S1 / m - xh S2 / m) of the rows that count; the others become zero.
struct NormInput {
  Norm norm;
  Rows rows;
  const float* g = nullptr;
  const float* s1 = nullptr;  // [in.c]
  const float* s2 = nullptr;
  float* dx = nullptr;
  int lanes = norm.lanes;

  HOST_DEVICE Units units() const { return norm.units(); }
  template <int L>
  HOST_DEVICE void unit(int n, int tile) const {
    const int c = tile * L;
    const Floats<L> elements = Floats<L>{} + element_count(*rows.state, norm.positions());
    const Floats<L> mean_g = portable_div(load<L>(s1 + c), elements);
    const Floats<L> mean_product = portable_div(load<L>(s2 + c), elements);
    Floats<L> factor = load<L>(norm.inverse + c);
    if (norm.gamma != nullptr) factor = load<L>(norm.gamma + c) * factor;
    std::int64_t at = image_at(n, norm.in) + c;
    for (int i = 0; i < norm.positions(); ++i, at += norm.in.c) {
      Floats<L> value{};
      if (rows.count(n))
        value = factor * ((load<L>(g + at) - mean_g) - norm.normalised<L>(at, c) * mean_product);
      store<L>(dx + at, value, norm.in.c - c);
    }
  }
};

}  // namespace trainer::portable
