// Pooling windows without padding; a window that would cross the edge is omitted.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/maps.hpp"

namespace trainer::reference {

namespace {

// Calls visit(output index, flat input index) for every element of every window, row by row.
template <typename Visit>
void for_each_in_windows(int batch, const Shape& in, const Window& window, Visit visit) {
  const int h = window_positions(in.h, window.size, window.stride);
  const int w = window_positions(in.w, window.size, window.stride);
  const Shape out{h, w, in.c};
  for (int n = 0; n < batch; ++n) {
    for (int i = 0; i < h; ++i) {
      for (int j = 0; j < w; ++j) {
        for (int c = 0; c < in.c; ++c) {
          for (int a = 0; a < window.size; ++a) {
            for (int b = 0; b < window.size; ++b) {
              visit(at(out, n, i, j, c), at(in, n, i * window.stride + a, j * window.stride + b, c));
            }
          }
        }
      }
    }
  }
}

}  // namespace

Pooled max_pool(const Values& map, int batch, const Shape& shape, const Window& window) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::size_t count = batch * out_shape(MaxPoolDesc{shape, window}).size();
  Pooled p{Values(count, -infinity), Values(count, infinity), std::vector<std::size_t>(count, 0)};
  for_each_in_windows(batch, shape, window, [&](std::size_t out, std::size_t in) {
    if (map[in] > p.value[out]) {
      p.value[out] = map[in];
      p.argmax[out] = in;
    }
  });
  for_each_in_windows(batch, shape, window, [&](std::size_t out, std::size_t in) {
    const double gap = p.value[out] - map[in];
    if (gap > 0) p.margin[out] = std::min(p.margin[out], gap);
  });
  return p;
}

void run_forward(const MaxPoolDesc& desc, Tensors& t) {
  Pooled pooled = max_pool(t.x, t.batch, desc.in, desc.window);
  t.y = std::move(pooled.value);
  t.margin = std::move(pooled.margin);
}

void run_backward(const MaxPoolDesc& desc, Tensors& t) {
  const Pooled pooled = max_pool(t.x, t.batch, desc.in, desc.window);
  t.dx.assign(t.x.size(), 0);
  for (std::size_t i = 0; i < t.dy.size(); ++i) t.dx[pooled.argmax[i]] += t.dy[i];
}

void run_forward(const AvgPoolDesc& desc, Tensors& t) {
  const double area = desc.window.size * desc.window.size;
  t.y.assign(t.batch * out_shape(desc).size(), 0);
  for_each_in_windows(t.batch, desc.in, desc.window,
                      [&](std::size_t out, std::size_t in) { t.y[out] += t.x[in] / area; });
}

void run_backward(const AvgPoolDesc& desc, Tensors& t) {
  const double area = desc.window.size * desc.window.size;
  t.dx.assign(t.x.size(), 0);
  for_each_in_windows(t.batch, desc.in, desc.window,
                      [&](std::size_t out, std::size_t in) { t.dx[in] += t.dy[out] / area; });
}

}  // namespace trainer::reference
