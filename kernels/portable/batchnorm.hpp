// Batch normalisation per channel, then GELU (kernels/op.hpp has the formulas). A channel's sums over the batch are made in two
// kernels: each image adds up its positions, and the images are added in the order of batch_sum.hpp.
#pragma once

#include <cstdint>

#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

// inverse = 1 / sqrt(variance + epsilon), of the squares' sums, and the running statistics; in inference (`squares` null) of the
// running variance. Tables are [channels]. Unit: a channel.
struct NormVariance {
  const StepState* state = nullptr;
  int positions = 1, channels = 1;
  float epsilon = 0, momentum = 0;
  const float *squares = nullptr, *mean = nullptr;
  float *running_mean = nullptr, *running_variance = nullptr, *inverse = nullptr;

  HOST_DEVICE Units units() const { return {channels}; }
  HOST_DEVICE void unit(int c) const {
    const float variance = squares == nullptr ? running_variance[c] : train(c);
    inverse[c] = portable_div(1.0F, portable_sqrt(variance + epsilon));
  }

 private:
  // The batch's variance of channel c, after updating the running statistics.
  HOST_DEVICE float train(int c) const {
    const float count = element_count(*state, positions);
    const float variance = portable_div(squares[c], count);
    const float unbiased = count > 1 ? portable_div(squares[c], count - 1.0F) : variance;
    const float keep = 1.0F - momentum;
    running_mean[c] = keep * running_mean[c] + momentum * mean[c];
    running_variance[c] = keep * running_variance[c] + momentum * unbiased;
    return variance;
  }
};

// What the other kernels share. Maps are [batch, in], tables [in.c].
struct Norm {
  int batch = 0;
  Shape in;
  bool gelu = false;
  Tile tile;
  int in_turn = 1;  // positions of a unit that need not be summed
  const float *x = nullptr, *mean = nullptr, *inverse = nullptr;
  const float *gamma = nullptr, *beta = nullptr;  // no gamma: 1

  HOST_DEVICE int positions() const { return in.h * in.w; }
  HOST_DEVICE Units units() const {
    return {batch, pieces(positions(), in_turn), pieces(in.c, tile.lanes), 16 * in_turn};
  }
  // The positions of part `part`: from begin(part) on, before begin(part + 1).
  HOST_DEVICE int begin(int part) const {
    return part * in_turn < positions() ? part * in_turn : positions();
  }
  template <int L>
  HOST_DEVICE Floats<L> normalised(std::int64_t at, int c) const {
    return (load<L>(x + at) - load<L>(mean + c)) * load<L>(inverse + c);
  }
  template <int L>
  HOST_DEVICE Floats<L> output(Floats<L> normalised, int c) const {
    return (gamma == nullptr ? normalised : normalised * load<L>(gamma + c)) + load<L>(beta + c);
  }
};

struct Normalise : Norm {
  float* y = nullptr;

  template <int L>
  HOST_DEVICE void unit(int n, int part, int vector) const {
    const int c = vector * L;
    std::int64_t at = image_at(n, in) + begin(part) * in.c + c;
    for (int i = begin(part); i < begin(part + 1); ++i, at += in.c) {
      const Floats<L> value = output<L>(normalised<L>(at, c), c);
      store<L>(y + at, gelu ? portable::gelu<Floats<L>, Words<L>>(value) : value, in.c - c);
    }
  }
};

// g = dy, times GELU's slope, and each image's sums of g and of g xh, [batch, in.c] each. Only the selected rows.
struct NormSlopes : Norm {
  Rows rows;
  const float* dy = nullptr;
  float *g = nullptr, *sums = nullptr, *products = nullptr;

  HOST_DEVICE Units units() const { return {batch, pieces(in.c, tile.lanes), 1, 16 * positions()}; }
  template <int L>
  HOST_DEVICE void unit(int n, int vector) const {
    if (!rows.count(n)) return;
    const int c = vector * L;
    std::int64_t at = image_at(n, in) + c;
    Floats<L> sum{};
    Floats<L> product{};
    for (int i = 0; i < positions(); ++i, at += in.c) {
      const Floats<L> xh = normalised<L>(at, c);
      Floats<L> slope = load<L>(dy + at);
      if (gelu) slope = slope * gelu_derivative<Floats<L>, Words<L>>(output<L>(xh, c));
      store<L>(g + at, slope, in.c - c);
      sum = sum + slope;
      product = product + slope * xh;
    }
    store<L>(sums + std::int64_t{n} * in.c + c, sum, in.c - c);
    store<L>(products + std::int64_t{n} * in.c + c, product, in.c - c);
  }
};

// dx = gamma / sqrt(var + epsilon) (g - S1 / m - xh S2 / m) of the rows that count; the others become zero.
struct NormInput : Norm {
  Rows rows;
  const float *g = nullptr, *s1 = nullptr, *s2 = nullptr;
  float* dx = nullptr;

  template <int L>
  HOST_DEVICE void unit(int n, int part, int vector) const {
    const int c = vector * L;
    const Floats<L> m = Floats<L>{} + element_count(*rows.state, positions());
    const Floats<L> mean_g = portable_div(load<L>(s1 + c), m);
    const Floats<L> mean_product = portable_div(load<L>(s2 + c), m);
    Floats<L> factor = load<L>(inverse + c);
    if (gamma != nullptr) factor = load<L>(gamma + c) * factor;
    std::int64_t at = image_at(n, in) + begin(part) * in.c + c;
    for (int i = begin(part); i < begin(part + 1); ++i, at += in.c) {
      Floats<L> value{};
      if (rows.count(n)) value = factor * ((load<L>(g + at) - mean_g) - normalised<L>(at, c) * mean_product);
      store<L>(dx + at, value, in.c - c);
    }
  }
};

}  // namespace trainer::portable
