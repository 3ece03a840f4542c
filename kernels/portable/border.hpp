// The border of zeros around the input of a convolution, so that a filter never meets an edge.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/host_device.hpp"
#include "kernels/shape.hpp"

namespace trainer::portable {

// to [batch, h + top + bottom, w + left + right, c] = from [batch, h, w, c] inside a border of zeros. Unit: a row of an image.
struct AddBorder {
  const float* from = nullptr;
  std::uint32_t batch = 0;
  Shape in;
  Border border;
  float* to = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const {
    return static_cast<std::uint32_t>(in.h + border.top + border.bottom);
  }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t i) const {
    const int width = (in.w + border.left + border.right) * in.c;
    const int row = static_cast<int>(i) - border.top;
    const int left = border.left * in.c;
    float* line = to + (std::size_t{n} * inner() + i) * width;
    const float* source = from + (static_cast<std::ptrdiff_t>(n) * in.h + row) * in.w * in.c - left;
    const bool inside = row >= 0 && row < in.h;
    for (int j = 0; j < width; ++j)
      line[j] = inside && j >= left && j < left + in.w * in.c ? source[j] : 0.0F;
  }
};

// The reverse: to [batch, h, w, c] = from without its border.
struct CutBorder {
  const float* from = nullptr;
  std::uint32_t batch = 0;
  Shape in;  // without the border
  Border border;
  float* to = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const { return static_cast<std::uint32_t>(in.h); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t i) const {
    const std::size_t width = static_cast<std::size_t>(in.w + border.left + border.right) * in.c;
    const std::size_t height = static_cast<std::size_t>(in.h) + border.top + border.bottom;
    const float* line =
        from + (n * height + i + border.top) * width + static_cast<std::size_t>(border.left) * in.c;
    float* target = to + (std::size_t{n} * in.h + i) * in.w * in.c;
    for (int j = 0; j < in.w * in.c; ++j) target[j] = line[j];
  }
};

}  // namespace trainer::portable
