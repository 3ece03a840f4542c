// Max pooling, bias and ReLU, and their gradients, for the pooling layers and after a library's convolution or product.
// Maps are of the context's element type, and the backend refuses those with more than 2^31 - 1 elements.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/context.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

struct Position {
  unsigned n, y, x, c;
};

// Indexes the elements of maps [n, h, w, c] of one shape.
struct MapIndex {
  explicit MapIndex(const Shape& s) : h(divider(s.h)), w(divider(s.w)), c(divider(s.c)) {}
  static Divider divider(int extent) { return Divider(static_cast<unsigned>(std::max(extent, 1))); }

  HOST_DEVICE Position position(unsigned index) const {
    const unsigned pixel = c.quotient(index);
    const unsigned row = w.quotient(pixel);
    const unsigned n = h.quotient(row);
    return {n, row - n * h.by(), pixel - row * w.by(), index - pixel * c.by()};
  }
  HOST_DEVICE unsigned index(const Position& p) const {
    return ((p.n * h.by() + p.y) * w.by() + p.x) * c.by() + p.c;
  }

  Divider h, w, c;
};

struct PoolShape {
  PoolShape(int images, const Shape& before, const Shape& after, const Window& window)
      : batch(static_cast<unsigned>(images)),
        map(before),
        out(after),
        size(static_cast<unsigned>(window.size)),
        stride(MapIndex::divider(window.stride)) {}

  unsigned batch;
  MapIndex map, out;  // input and output of the pool
  unsigned size;      // the window's
  Divider stride;
};

// y = the largest of map + bias in each window, then ReLU if `relu`; argmax: its place in the window, row by row, the
// first of equal ones.
struct MapForward {
  const void* map = nullptr;    // [n, h, w, c]
  const float* bias = nullptr;  // [c], may be null
  bool relu = false;
  void* y = nullptr;               // [n, h', w', c]
  std::uint8_t* argmax = nullptr;  // [n, h', w', c]; null in inference
};
void launch_maxpool(const CudaContext& context, const PoolShape& shape, const MapForward& args);

// The same without a pool and in place: y [positions, c] = y + bias, then ReLU.
void launch_bias_relu(const CudaContext& context, const float* bias, bool relu, void* y, unsigned positions,
                      unsigned c);

// dmap: dy at the argmax of each window, summed over the windows that share it, else 0; with ReLU only where y > 0. db:
// the sum of the same dy for each channel.
struct MapBackward {
  const void* dy = nullptr;
  const void* y = nullptr;
  bool relu = false;
  const std::uint8_t* argmax = nullptr;  // null without a pool
  void* dmap = nullptr;                  // may be null without a pool: not wanted
  float* db = nullptr;                   // [c]; null: not wanted, and then partial is not used
  float* partial = nullptr;              // db_partial_bytes(c)
};
void launch_maxpool_backward(const CudaContext& context, const PoolShape& shape, const MapBackward& args);
// The same without a pool: maps are [positions, c].
void launch_bias_relu_backward(const CudaContext& context, unsigned positions, unsigned c,
                               const MapBackward& args);
std::size_t db_partial_bytes(unsigned c);

}  // namespace trainer::cuda
