// Batch normalisation per channel, then GELU (kernels/op.hpp has the formulas). A channel's sums over the batch are made in two
// kernels: each image adds up its positions, and the images are added in the order of batch_sum.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/step_state.hpp"
#include "kernels/portable/elementary.hpp"
#include "kernels/portable/product.hpp"

namespace trainer::portable {

// What the kernels of one batch normalisation share. Maps are [batch, positions, channels]; tables are [channels].
struct NormShape {
  std::uint32_t batch = 0;
  int positions = 1;
  int channels = 1;
  float epsilon = 0;
  float momentum = 0;
  bool gelu = false;
  int lanes = 1;

  HOST_DEVICE std::uint32_t tiles() const {
    return pieces(static_cast<std::uint32_t>(channels), static_cast<std::uint32_t>(lanes));
  }
  HOST_DEVICE std::size_t image(std::uint32_t n) const { return std::size_t{n} * positions * channels; }
  HOST_DEVICE float count(std::uint32_t valid) const {
    return static_cast<float>(valid) * static_cast<float>(positions);
  }
};

// sums [batch, channels]: of x, or of (x - mean)^2 if `mean` is set, over an image's positions.
struct NormImageSums {
  NormShape shape;
  const float* x = nullptr;
  const float* mean = nullptr;
  float* sums = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return shape.batch; }
  HOST_DEVICE std::uint32_t inner() const { return shape.tiles(); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t tile) const {
    const int c = static_cast<int>(tile) * L;
    const float* at = x + shape.image(n) + c;
    Floats<L> sum{};
    if (mean == nullptr) {
      for (int i = 0; i < shape.positions; ++i, at += shape.channels) sum = sum + load<L>(at);
    } else {
      const Floats<L> centre = load<L>(mean + c);
      for (int i = 0; i < shape.positions; ++i, at += shape.channels) {
        const Floats<L> d = load<L>(at) - centre;
        sum = sum + d * d;
      }
    }
    store<L>(sums + std::size_t{n} * shape.channels + c, sum, shape.channels - c);
  }
};

// mean = the sum over the valid rows / their positions.
struct NormMean {
  NormShape shape;
  const StepState* state = nullptr;
  const float* sums = nullptr;
  float* mean = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return shape.tiles(); }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t tile, std::uint32_t /*inner*/) const {
    const int c = static_cast<int>(tile) * L;
    const Rows all{.batch = shape.batch};
    const Floats<L> sum = batch_sum<L>(all, state->valid, sums + c, shape.channels);
    store<L>(mean + c, portable_div(sum, Floats<L>{} + shape.count(state->valid)), shape.channels - c);
  }
};

// inverse = 1 / sqrt(variance + epsilon), of the squares' sums, and the running statistics; in inference (`sums` null) from the
// running variance. Unit: a channel.
struct NormVariance {
  NormShape shape;
  const StepState* state = nullptr;
  const float* sums = nullptr;
  const float* mean = nullptr;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  float* inverse = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return static_cast<std::uint32_t>(shape.channels); }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t c, std::uint32_t /*inner*/) const {
    const float variance = sums == nullptr ? running_variance[c] : train(c);
    inverse[c] = portable_div(1.0F, portable_sqrt(variance + shape.epsilon));
  }

 private:
  // The batch's variance of channel c, after updating the running statistics.
  HOST_DEVICE float train(std::uint32_t c) const {
    const float count = shape.count(state->valid);
    const float squares = batch_sum<1>(Rows{.batch = shape.batch}, state->valid, sums + c, shape.channels);
    const float variance = portable_div(squares, count);
    const float unbiased = count > 1 ? portable_div(squares, count - 1.0F) : variance;
    const float keep = 1.0F - shape.momentum;
    running_mean[c] = keep * running_mean[c] + shape.momentum * mean[c];
    running_variance[c] = keep * running_variance[c] + shape.momentum * unbiased;
    return variance;
  }
};

// The tables that turn x into the normalised xh and the output y.
struct NormTables {
  const float* mean = nullptr;
  const float* inverse = nullptr;
  const float* gamma = nullptr;  // null: 1
  const float* beta = nullptr;

  template <int L>
  HOST_DEVICE Floats<L> normalised(const float* x, int c) const {
    return (load<L>(x) - load<L>(mean + c)) * load<L>(inverse + c);
  }
  template <int L>
  HOST_DEVICE Floats<L> output(Floats<L> normalised, int c) const {
    return (gamma == nullptr ? normalised : normalised * load<L>(gamma + c)) + load<L>(beta + c);
  }
};

struct Normalise {
  NormShape shape;
  NormTables tables;
  const float* x = nullptr;
  float* y = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return shape.batch; }
  HOST_DEVICE std::uint32_t inner() const { return shape.tiles(); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t tile) const {
    const int c = static_cast<int>(tile) * L;
    for (int i = 0; i < shape.positions; ++i) {
      const std::size_t at = shape.image(n) + static_cast<std::size_t>(i) * shape.channels + c;
      Floats<L> value = tables.output<L>(tables.normalised<L>(x + at, c), c);
      if (shape.gelu) value = gelu<Floats<L>, Words<L>>(value);
      store<L>(y + at, value, shape.channels - c);
    }
  }
};

// g = dy, times GELU's slope, and each image's sums of g and of g xh, [batch, channels] each.
struct NormSlopes {
  NormShape shape;
  Rows rows = {};
  NormTables tables;
  const float* x = nullptr;
  const float* dy = nullptr;
  float* g = nullptr;
  float* sums = nullptr;
  float* products = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return shape.batch; }
  HOST_DEVICE std::uint32_t inner() const { return shape.tiles(); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t position, std::uint32_t tile) const {
    if (position >= rows.count()) return;
    const std::uint32_t n = rows.row(position);
    const int c = static_cast<int>(tile) * L;
    const int count = shape.channels - c;
    Floats<L> sum{};
    Floats<L> product{};
    for (int i = 0; i < shape.positions; ++i) {
      const std::size_t at = shape.image(n) + static_cast<std::size_t>(i) * shape.channels + c;
      const Floats<L> normalised = tables.normalised<L>(x + at, c);
      Floats<L> slope = load<L>(dy + at);
      if (shape.gelu) slope = slope * gelu_derivative<Floats<L>, Words<L>>(tables.output<L>(normalised, c));
      store<L>(g + at, slope, count);
      sum = sum + slope;
      product = product + slope * normalised;
    }
    store<L>(sums + std::size_t{n} * shape.channels + c, sum, count);
    store<L>(products + std::size_t{n} * shape.channels + c, product, count);
  }
};

// dx = gamma / sqrt(var + epsilon) (g - S1 / m - xh S2 / m) of the listed rows; the others become zero.
struct NormInput {
  NormShape shape;
  Rows rows = {};
  NormTables tables;
  const StepState* state = nullptr;
  const float* x = nullptr;
  const float* g = nullptr;
  const float* s1 = nullptr;  // [channels]
  const float* s2 = nullptr;
  float* dx = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return shape.batch; }
  HOST_DEVICE std::uint32_t inner() const { return shape.tiles(); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t position, std::uint32_t tile) const {
    const std::uint32_t n = rows.row(position);
    const bool listed = position < rows.count() && n < state->valid;
    const int c = static_cast<int>(tile) * L;
    const Floats<L> positions = Floats<L>{} + shape.count(state->valid);
    const Floats<L> mean_g = portable_div(load<L>(s1 + c), positions);
    const Floats<L> mean_product = portable_div(load<L>(s2 + c), positions);
    Floats<L> factor = load<L>(tables.inverse + c);
    if (tables.gamma != nullptr) factor = load<L>(tables.gamma + c) * factor;
    for (int i = 0; i < shape.positions; ++i) {
      const std::size_t at = shape.image(n) + static_cast<std::size_t>(i) * shape.channels + c;
      Floats<L> value{};
      if (listed)
        value = factor * ((load<L>(g + at) - mean_g) - tables.normalised<L>(x + at, c) * mean_product);
      store<L>(dx + at, value, shape.channels - c);
    }
  }
};

}  // namespace trainer::portable
