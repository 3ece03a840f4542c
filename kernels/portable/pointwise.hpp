// Ops of single elements, and pooling by itself.
#pragma once

#include <cstdint>

#include "kernels/math/divider.hpp"
#include "kernels/math/dropout.hpp"
#include "kernels/op.hpp"
#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

// What an op of single elements makes of x or, if `dy` is set, the gradient it makes of dy. LeakyReLU with slope 0 is ReLU; dropout
// multiplies by the factor of the step (kernels/math/dropout.hpp).
struct Pointwise {
  enum class Kind : std::uint8_t { leaky_relu, gelu, dropout, residual };

  int batch = 0, size = 0;
  Kind kind = Kind::leaky_relu;
  float slope = 0;  // or the share that is dropped
  std::uint32_t stream = 0;
  const StepState* state = nullptr;
  const float *x = nullptr, *dy = nullptr, *skip = nullptr;  // [batch, size], like the result
  float* to = nullptr;

  HOST_DEVICE Units units() const { return {batch, size}; }
  HOST_DEVICE void unit(int n, int j) const {
    const std::int64_t i = std::int64_t{n} * size + j;
    const float value = dy == nullptr ? x[i] : dy[i];
    if (kind == Kind::dropout) {
      const auto element = static_cast<std::uint64_t>(std::int64_t{state->first_row} * size + i);
      to[i] = value * dropout_factor(slope, state->seed, stream, state->step, element);
    } else if (kind == Kind::gelu) {
      to[i] = dy == nullptr ? gelu<float, std::uint32_t>(value)
                            : value * gelu_derivative<float, std::uint32_t>(x[i]);
    } else if (kind == Kind::residual) {
      to[i] = value + skip[i];
    } else {
      const bool passes = x[i] > 0 || (dy == nullptr && value != value);
      to[i] = passes ? value : slope * value;
    }
  }
};

// The kernel of each op of single elements, without its sizes.
inline Pointwise pointwise(const ReluDesc& /*desc*/) {
  return {};
}
inline Pointwise pointwise(const LeakyReluDesc& desc) {
  return {.slope = desc.slope};
}
inline Pointwise pointwise(const GeluDesc& /*desc*/) {
  return {.kind = Pointwise::Kind::gelu};
}
inline Pointwise pointwise(const DropoutDesc& desc) {
  return {.kind = Pointwise::Kind::dropout, .slope = desc.drop, .stream = desc.stream};
}
inline Pointwise pointwise(const ResidualDesc& /*desc*/) {
  return {.kind = Pointwise::Kind::residual};
}

constexpr int kWidestWindow = 15;

// Position [i, j] of a window as a byte, another one than kNoArgmax.
HOST_DEVICE std::uint32_t window_position(int i, int j) {
  return static_cast<std::uint32_t>(i * 16 + j);
}

// The first of equal values stays. `position` is 0 for a window's first value.
template <int L>
HOST_DEVICE void take_larger(Floats<L> value, std::uint32_t position, Floats<L>& best, Words<L>& at) {
  if (position == 0) best = value;
  const auto more = value > best;
  best = more ? value : best;
  at = more ? Words<L>{} + position : at;
}

// Maps [batch, in] and [batch, out] of max or average pooling; `argmax` [batch, out], or null: the position of each maximum.
struct PoolShape {
  int batch = 0;
  Shape in, out;
  Window window;
  bool maximum = false;
  Tile tile;
  Divider by_stride;  // window.stride

  HOST_DEVICE float area() const { return static_cast<float>(window.size * window.size); }
};

struct Pool : PoolShape {
  const float* x = nullptr;
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;

  HOST_DEVICE Units units() const { return {batch, out.h, pieces(out.c, tile.lanes), out.w * 8}; }
  template <int L>
  HOST_DEVICE void unit(int n, int row, int vector) const {
    const int c = vector * L;
    for (int column = 0; column < out.w; ++column) {
      Floats<L> value{};
      Words<L> at{};
      for (int i = 0; i < window.size; ++i) {
        for (int j = 0; j < window.size; ++j) {
          const int pixel = (row * window.stride + i) * in.w + column * window.stride + j;
          const Floats<L> next = load<L>(x + image_at(n, in) + pixel * in.c + c);
          if (maximum) take_larger<L>(next, window_position(i, j), value, at);
          if (!maximum) value = value + next;
        }
      }
      if (!maximum) value = portable_div(value, Floats<L>{} + area());
      const std::int64_t to = image_at(n, out) + (row * out.w + column) * out.c + c;
      store<L>(y + to, value, out.c - c);
      if (argmax != nullptr) store<L>(argmax + to, at, out.c - c);
    }
  }
};

// dx: each element sums over the windows that hold it, in their order.
struct PoolInput : PoolShape {
  const float* dy = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* dx = nullptr;

  HOST_DEVICE Units units() const { return {batch, in.h, pieces(in.c, tile.lanes), in.w * 8}; }
  template <int L>
  HOST_DEVICE void unit(int n, int row, int vector) const {
    const int c = vector * L;
    for (int column = 0; column < in.w; ++column) {
      Floats<L> sum{};
      for (int i = first(row); i < out.h && i * window.stride <= row; ++i) {
        for (int j = first(column); j < out.w && j * window.stride <= column; ++j) {
          const std::int64_t at = image_at(n, out) + (i * out.w + j) * out.c + c;
          const Words<L> here =
              Words<L>{} + window_position(row - i * window.stride, column - j * window.stride);
          Floats<L> slope = load<L>(dy + at);
          if (maximum) slope = load<L>(argmax + at) == here ? slope : Floats<L>{};
          sum = sum + slope;
        }
      }
      if (!maximum) sum = portable_div(sum, Floats<L>{} + area());
      store<L>(dx + image_at(n, in) + (row * in.w + column) * in.c + c, sum, in.c - c);
    }
  }

 private:
  // The first window that reaches row or column `at`.
  HOST_DEVICE int first(int at) const {
    const int behind = at - window.size;
    return behind < 0 ? 0 : static_cast<int>(by_stride.quotient(static_cast<std::uint32_t>(behind))) + 1;
  }
};

}  // namespace trainer::portable
