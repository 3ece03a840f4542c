// Ops of single elements, and pooling by itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/divider.hpp"
#include "kernels/math/dropout.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/portable/elementary.hpp"
#include "kernels/shape.hpp"

namespace trainer::portable {

constexpr std::uint32_t kElementsAtOnce = 64;  // of one unit

// What an activation does to x, or, if `dy` is set, to the gradient dy. LeakyReLU with slope 0 is ReLU.
struct Activation {
  enum class Kind : std::uint8_t { leaky_relu, gelu };

  Kind kind = Kind::leaky_relu;
  float slope = 0;
  std::uint32_t count = 0;
  const float* x = nullptr;
  const float* dy = nullptr;
  float* to = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return (count + kElementsAtOnce - 1) / kElementsAtOnce; }
  HOST_DEVICE std::uint32_t inner() const { return kElementsAtOnce; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const std::uint32_t i = outer * kElementsAtOnce + inner;
    if (i >= count) return;
    if (kind == Kind::gelu) {
      to[i] = dy == nullptr ? gelu<float, std::uint32_t>(x[i])
                            : dy[i] * gelu_derivative<float, std::uint32_t>(x[i]);
    } else if (dy == nullptr) {
      to[i] = x[i] > 0 || x[i] != x[i] ? x[i] : slope * x[i];
    } else {
      to[i] = x[i] > 0 ? dy[i] : slope * dy[i];
    }
  }
};

// to = from times the dropout factor of the step (kernels/math/dropout.hpp).
struct Dropout {
  float drop = 0;
  std::uint32_t stream = 0;
  std::uint32_t count = 0;
  const StepState* state = nullptr;
  const float* from = nullptr;
  float* to = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return (count + 3) / 4; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t /*inner*/) const {
    for (std::uint32_t i = outer * 4; i < outer * 4 + 4 && i < count; ++i)
      to[i] = from[i] * dropout_factor(drop, state->seed, stream, state->step, i);
  }
};

struct Copy {
  std::uint32_t count = 0;
  const float* from = nullptr;
  float* to = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return count; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t i, std::uint32_t /*inner*/) const {
    to[i] = from[i];
  }
};

// Pooling of [batch, in] to [batch, out]; `argmax` [batch, out] says that it is max pooling, and holds each window's first maximum
// (in inference `maximum` is set and argmax null).
struct Pool {
  Shape in;
  Shape out;
  Window window;
  std::uint32_t batch = 0;
  const float* x = nullptr;
  float* y = nullptr;
  bool maximum = false;
  std::uint8_t* argmax = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch * static_cast<std::uint32_t>(out.h); }
  HOST_DEVICE std::uint32_t inner() const { return static_cast<std::uint32_t>(out.w * out.c); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const std::uint32_t n = outer / static_cast<std::uint32_t>(out.h);
    const std::uint32_t row = outer - n * static_cast<std::uint32_t>(out.h);
    const std::uint32_t column = inner / static_cast<std::uint32_t>(out.c);
    const std::uint32_t c = inner - column * static_cast<std::uint32_t>(out.c);
    const std::size_t stride = static_cast<std::size_t>(window.stride);
    const float* corner = x + ((std::size_t{n} * in.h + row * stride) * in.w + column * stride) * in.c + c;
    const std::size_t at = std::size_t{outer} * out.w * out.c + inner;
    float value = maximum ? *corner : 0.0F;
    int best = 0;
    for (int a = 0; a < window.size; ++a) {
      for (int b = 0; b < window.size; ++b) {
        const float candidate = corner[static_cast<std::size_t>(a * in.w + b) * in.c];
        if (!maximum) {
          value = value + candidate;
        } else if (candidate > value) {
          value = candidate;
          best = a * window.size + b;
        }
      }
    }
    y[at] = maximum ? value : portable_div(value, static_cast<float>(window.size * window.size));
    if (argmax != nullptr) argmax[at] = static_cast<std::uint8_t>(best);
  }
};

// dx [batch, in]: each element sums over the windows that hold it, in their order.
struct PoolInput {
  Shape in;
  Shape out;
  Window window;
  std::uint32_t batch = 0;
  const float* dy = nullptr;
  const std::uint8_t* argmax = nullptr;  // null: average pooling
  float* dx = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch * static_cast<std::uint32_t>(in.h); }
  HOST_DEVICE std::uint32_t inner() const { return static_cast<std::uint32_t>(in.w * in.c); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const int n = static_cast<int>(outer / static_cast<std::uint32_t>(in.h));
    const int row = static_cast<int>(outer) - n * in.h;
    const int column = static_cast<int>(inner / static_cast<std::uint32_t>(in.c));
    const int c = static_cast<int>(inner) - column * in.c;
    float sum = 0;
    for (int i = first(row); i < out.h && i * window.stride <= row; ++i) {
      for (int j = first(column); j < out.w && j * window.stride <= column; ++j) {
        const std::size_t at = ((static_cast<std::size_t>(n) * out.h + i) * out.w + j) * out.c + c;
        const int place = (row - i * window.stride) * window.size + column - j * window.stride;
        if (argmax == nullptr || argmax[at] == place) sum = sum + dy[at];
      }
    }
    dx[std::size_t{outer} * in.w * in.c + inner] =
        argmax != nullptr ? sum : portable_div(sum, static_cast<float>(window.size * window.size));
  }

 private:
  // The first window that reaches row or column `at`.
  HOST_DEVICE int first(int at) const {
    return at < window.size ? 0 : (at - window.size) / window.stride + 1;
  }
};

}  // namespace trainer::portable
