// Shapes of the maps that flow between ops. Everything is stored image by image, rows by columns by channels
// (NHWC), so that the channels of one pixel are contiguous: the layout that suits both tensor cores and CPU
// vectors. Names: n images, h rows, w columns, c channels, k kernel size.
#pragma once

#include <cstddef>

namespace trainer {

// One image or feature map without its batch: [h, w, c]. A vector of n features is [1, 1, n].
struct Shape {
  int h = 1;
  int w = 1;
  int c = 1;

  std::size_t size() const { return static_cast<std::size_t>(h) * w * c; }
  bool operator==(const Shape&) const = default;
};

// Rows and columns of zeros around a map, on each side.
struct Border {
  int top = 0;
  int bottom = 0;
  int left = 0;
  int right = 0;
  bool operator==(const Border&) const = default;
};

// A pooling window over [h, w]; windows that would cross the border are left out ("valid", floor).
struct Window {
  int size = 0;  // 0: no pooling
  int stride = 0;
  explicit operator bool() const { return size > 0; }
  bool operator==(const Window&) const = default;
};

// The number of positions of a window of `size` at `stride` along `length` elements; 0 if it does not fit.
constexpr int window_positions(int length, int size, int stride) {
  return length < size ? 0 : (length - size) / stride + 1;
}

}  // namespace trainer
