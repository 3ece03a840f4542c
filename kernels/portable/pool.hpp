// Pooling by itself, and what it shares with convolutions that end in a max pool.
#pragma once

#include <cstdint>

#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

constexpr int kWidestWindow = 15;

// Position [i, j] of a window as a byte, another one than kNoArgmax.
HOST_DEVICE std::uint32_t window_position(int i, int j) {
  return static_cast<std::uint32_t>(i * 16 + j);
}

// Of equal values the first stays. `position` is 0 for a window's first value.
template <int L>
HOST_DEVICE void take_larger(Floats<L> value, std::uint32_t position, Floats<L>& best, Words<L>& at) {
  if (position == 0) best = value;
  const auto more = value > best;
  best = more ? value : best;
  at = more ? Words<L>{} + position : at;
}

struct PoolShape {
  int batch = 0;
  Shape in;
  Shape out;
  Window window;
  bool maximum = false;  // else the average
  int lanes = 1;

  HOST_DEVICE float area() const { return static_cast<float>(window.size * window.size); }
};

// Pooling of [batch, in] to [batch, out]; `argmax` [batch, out], or null: the position of each window's maximum.
struct Pool {
  PoolShape pool;
  const float* x = nullptr;
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;
  int lanes = pool.lanes;

  HOST_DEVICE Units units() const {
    return {pool.batch, pool.out.h, pieces(pool.out.c, lanes), pool.out.w * 8};
  }
  template <int L>
  HOST_DEVICE void unit(int n, int row, int tile) const {
    const int c = tile * L;
    const Window& window = pool.window;
    std::int64_t to = image_at(n, pool.out) + row * pool.out.w * pool.out.c + c;
    for (int column = 0; column < pool.out.w; ++column, to += pool.out.c) {
      Floats<L> value{};
      Words<L> at{};
      for (int i = 0; i < window.size; ++i) {
        for (int j = 0; j < window.size; ++j) {
          const int pixel = (row * window.stride + i) * pool.in.w + column * window.stride + j;
          const Floats<L> next = load<L>(x + image_at(n, pool.in) + pixel * pool.in.c + c);
          if (pool.maximum) {
            take_larger<L>(next, window_position(i, j), value, at);
          } else {
            value = value + next;
          }
        }
      }
      if (!pool.maximum) value = portable_div(value, Floats<L>{} + pool.area());
      store<L>(y + to, value, pool.out.c - c);
      if (argmax != nullptr) store<L>(argmax + to, at, pool.out.c - c);
    }
  }
};

// dx [batch, in]: each element sums over the windows that hold it, in their order.
struct PoolInput {
  PoolShape pool;
  const float* dy = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* dx = nullptr;
  int lanes = pool.lanes;

  HOST_DEVICE Units units() const { return {pool.batch, pool.in.h, pieces(pool.in.c, lanes), pool.in.w * 8}; }
  template <int L>
  HOST_DEVICE void unit(int n, int row, int tile) const {
    const int c = tile * L;
    const int stride = pool.window.stride;
    for (int column = 0; column < pool.in.w; ++column) {
      Floats<L> sum{};
      for (int i = first(row); i < pool.out.h && i * stride <= row; ++i) {
        for (int j = first(column); j < pool.out.w && j * stride <= column; ++j) {
          const std::int64_t at = image_at(n, pool.out) + (i * pool.out.w + j) * pool.out.c + c;
          const Words<L> here = Words<L>{} + window_position(row - i * stride, column - j * stride);
          Floats<L> slope = load<L>(dy + at);
          if (pool.maximum) slope = load<L>(argmax + at) == here ? slope : Floats<L>{};
          sum = sum + slope;
        }
      }
      if (!pool.maximum) sum = portable_div(sum, Floats<L>{} + pool.area());
      store<L>(dx + image_at(n, pool.in) + (row * pool.in.w + column) * pool.in.c + c, sum, pool.in.c - c);
    }
  }

 private:
  // The first window that reaches row or column `at`.
  HOST_DEVICE int first(int at) const {
    int i = 0;
    while (i * pool.window.stride + pool.window.size <= at) ++i;
    return i;
  }
};

}  // namespace trainer::portable
