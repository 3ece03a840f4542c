// Convolution, then max pooling: the sum of one output runs over the filter's rows, columns and input channels, in this order.
#pragma once

#include <cstdint>

#include "kernels/portable/pool.hpp"

namespace trainer::portable {

// Without pooling, `window` is {1, 1}.
struct ConvShape {
  Shape in;   // with its border of zeros, so that a filter never meets an edge
  Shape out;  // after pooling
  int kernel = 1;
  int stride = 1;
  Window window = {1, 1};

  HOST_DEVICE int pitch() const { return in.w * in.c; }
  // The taps of a filter's row lie side by side, in x as in w.
  HOST_DEVICE int row_taps() const { return kernel * in.c; }
  HOST_DEVICE int taps() const { return kernel * row_taps(); }
  // Where in an image the filter begins for position [i, j] of the window of output [row, column].
  HOST_DEVICE int tap(int row, int column, int i, int j) const {
    return ((row * window.stride + i) * in.w + column * window.stride + j) * stride * in.c;
  }
};

// to [batch, its shape] = from, moved down and to the right, and zero elsewhere: a border of zeros around a map, or its inner part.
struct Move {
  int batch = 0;
  const float* from = nullptr;
  Shape from_shape;
  float* to = nullptr;
  Shape to_shape;
  int down = 0;
  int right = 0;

  HOST_DEVICE Units units() const { return {batch, to_shape.h, 1, to_shape.w * to_shape.c}; }
  HOST_DEVICE void unit(int n, int row) const {
    const int width = to_shape.w * to_shape.c;
    const int skip = right * to_shape.c;
    const int source = row - down;
    const float* line = from + image_at(n, from_shape) + source * from_shape.w * from_shape.c - skip;
    const int end = source >= 0 && source < from_shape.h ? skip + from_shape.w * from_shape.c : 0;
    float* target = to + image_at(n, to_shape) + row * width;
    for (int i = 0; i < width; ++i) target[i] = i >= skip && i < end ? line[i] : 0.0F;
  }
};

// y [batch, out] = relu(maxpool(conv(x, w)) + b). The larger of two sums stays the larger when b is added to both, so that the
// pool comes first; of equal ones the first wins. `argmax` [batch, out], or null: the position in the window, kNoArgmax where the
// ReLU stops the gradient. Unit: a row of an image, a tile of channels.
struct ConvForward {
  ConvShape shape;
  int batch = 0;
  const float* x = nullptr;  // [batch, in]
  const float* w = nullptr;  // [taps, padded]: filters lie side by side
  int padded = 0;
  const float* b = nullptr;  // [padded], or null
  bool relu = false;
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;
  Tile tile;

  HOST_DEVICE Units units() const {
    return {batch, shape.out.h, pieces(shape.out.c, tile.width()), shape.out.w * shape.taps()};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int n, int row, int at) const {
    switch (shape.window.size) {
      case 1:
        return unpooled<L, V>(n, row, at * L * V);
      case 2:
        return pooled<L, V, 2>(n, row, at * L * V);
      case 3:
        return pooled<L, V, 3>(n, row, at * L * V);
      default:
        return pooled<L, V, 1>(n, row, at * L * V);
    }
  }

 private:
  // The filters' sums at corner + offset[0], offset[1], ...
  template <int L, int V, int P>
  HOST_DEVICE void filter_sums(const float* corner, const int (&offset)[P], int o,
                               Floats<L> (&sums)[P][V]) const {
    const float* filter = w + o;
    for (int k = 0; k < shape.kernel; ++k, corner += shape.pitch()) {
      for (int t = 0; t < shape.row_taps(); ++t, filter += padded) {
        for (int v = 0; v < V; ++v) {
          const Floats<L> factor = load<L>(filter + v * L);
          for (int p = 0; p < P; ++p) sums[p][v] = sums[p][v] + factor * corner[offset[p] + t];
        }
      }
    }
  }

  // Computes kSide x kSide positions at once: a whole window, or one position after the other.
  template <int L, int V, int kSide>
  HOST_DEVICE void pooled(int n, int row, int o) const {
    const float* image = x + image_at(n, shape.in);
    int offset[kSide * kSide];
    for (int p = 0; p < kSide * kSide; ++p) offset[p] = shape.tap(0, 0, p / kSide, p % kSide);
    for (int column = 0; column < shape.out.w; ++column) {
      Floats<L> best[V];
      Words<L> at[V] = {};
      for (int i = 0; i < shape.window.size; i += kSide) {
        for (int j = 0; j < shape.window.size; j += kSide) {
          Floats<L> sums[kSide * kSide][V] = {};
          filter_sums<L, V>(image + shape.tap(row, column, i, j), offset, o, sums);
          for (int p = 0; p < kSide * kSide; ++p) {
            const std::uint32_t position = window_position(i + p / kSide, j + p % kSide);
            for (int v = 0; v < V; ++v) take_larger<L>(sums[p][v], position, best[v], at[v]);
          }
        }
      }
      for (int v = 0; v < V; ++v) finish<L>(n, row, column, o + v * L, best[v], at[v]);
    }
  }

  // Four outputs of a row at once.
  template <int L, int V>
  HOST_DEVICE void unpooled(int n, int row, int o) const {
    const float* image = x + image_at(n, shape.in);
    for (int column = 0; column < shape.out.w; column += 4) {
      int offset[4];
      for (int p = 0; p < 4; ++p)
        offset[p] = shape.tap(row, column + p < shape.out.w ? column + p : shape.out.w - 1, 0, 0);
      Floats<L> sums[4][V] = {};
      filter_sums<L, V>(image, offset, o, sums);
      for (int p = 0; p < 4 && column + p < shape.out.w; ++p) {
        for (int v = 0; v < V; ++v) finish<L>(n, row, column + p, o + v * L, sums[p][v], Words<L>{});
      }
    }
  }

  template <int L>
  HOST_DEVICE void finish(int n, int row, int column, int o, Floats<L> sum, Words<L> at) const {
    const std::int64_t pixel = image_at(n, shape.out) + (row * shape.out.w + column) * shape.out.c + o;
    const Floats<L> zero{};
    if (b != nullptr) sum = sum + load<L>(b + o);
    if (relu) {
      at = sum > zero ? at : Words<L>{} + kNoArgmax;
      sum = sum < zero ? zero : sum;
    }
    store<L>(y + pixel, sum, shape.out.c - o);
    if (argmax != nullptr) store<L>(argmax + pixel, at, shape.out.c - o);
  }
};

// partial [kShards, out, taps]: each shard's share of dw. An image's own sum runs over the pooled positions; the images' sums are
// added in order. Unit: in one shard, a tile of taps in `filter_rows` rows of a filter.
struct ConvWeights {
  ConvShape shape;
  Rows rows;
  const float* x = nullptr;
  const float* g = nullptr;  // [batch, out]
  const std::uint8_t* argmax = nullptr;
  float* partial = nullptr;
  Tile tile;
  int filter_rows = 1;  // 1, 3 or 5

  HOST_DEVICE Units units() const {
    return {kShards * pieces(shape.kernel, filter_rows), shape.out.c, pieces(shape.row_taps(), tile.width()),
            rows.batch / kShards * shape.out.h * shape.out.w * filter_rows};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int outer, int o, int at) const {
    const int shard = outer % kShards;
    const int k = outer / kShards * filter_rows;
    switch (filter_rows) {
      case 3:
        return add_shard<L, V, 3>(shard, o, k, at * L * V);
      case 5:
        return add_shard<L, V, 5>(shard, o, k, at * L * V);
      default:
        return add_shard<L, V, 1>(shard, o, k, at * L * V);
    }
  }

 private:
  template <int L, int V, int R>
  HOST_DEVICE void add_shard(int shard, int o, int k, int tap) const {
    Floats<L> sum[R][V] = {};
    for (int n = rows.begin(shard); n < rows.begin(shard + 1); ++n) {
      if (rows.count(n)) add_image<L, V, R>(n, o, k * shape.pitch() + tap, sum);
    }
    float* to = partial + (std::int64_t{shard} * shape.out.c + o) * shape.taps() + k * shape.row_taps() + tap;
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v)
        store<L>(to + r * shape.row_taps() + v * L, sum[r][v], shape.row_taps() - tap - v * L);
    }
  }

  template <int L, int V, int R>
  HOST_DEVICE void add_image(int n, int o, int tap, Floats<L> (&sum)[R][V]) const {
    const float* image = x + image_at(n, shape.in) + tap;
    std::int64_t at = image_at(n, shape.out) + o;
    Floats<L> own[R][V] = {};
    for (int row = 0; row < shape.out.h; ++row) {
      for (int column = 0; column < shape.out.w; ++column, at += shape.out.c) {
        if (argmax[at] == kNoArgmax) continue;
        const float* from = image + shape.tap(row, column, argmax[at] / 16, argmax[at] % 16);
        for (int r = 0; r < R; ++r) {
          for (int v = 0; v < V; ++v)
            own[r][v] = own[r][v] + load<L>(from + r * shape.pitch() + v * L) * g[at];
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) sum[r][v] = sum[r][v] + own[r][v];
    }
  }
};

// dx [batch, in] of the rows that count, border included: each element sums by pooled position, then output channel; the others
// become zero. Unit: L channels of an image.
struct ConvInput {
  ConvShape shape;
  Rows rows;
  const float* w = nullptr;  // [out, taps]
  const float* g = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* dx = nullptr;
  int lanes = 1;

  HOST_DEVICE Units units() const {
    return {rows.batch, pieces(shape.in.c, lanes), 1, shape.out.h * shape.out.w * shape.out.c * shape.taps()};
  }
  template <int L>
  HOST_DEVICE void unit(int n, int tile) const {
    const int c = tile * L;
    const int count = shape.in.c - c;
    float* image = dx + image_at(n, shape.in) + c;
    for (int i = 0; i < shape.in.h * shape.pitch(); i += shape.in.c) store<L>(image + i, Floats<L>{}, count);
    if (!rows.count(n)) return;
    std::int64_t at = image_at(n, shape.out);
    for (int row = 0; row < shape.out.h; ++row) {
      for (int column = 0; column < shape.out.w; ++column) {
        for (int o = 0; o < shape.out.c; ++o, ++at) {
          if (argmax[at] == kNoArgmax) continue;
          float* to = image + shape.tap(row, column, argmax[at] / 16, argmax[at] % 16);
          const float* filter = w + std::int64_t{o} * shape.taps() + c;
          shape.kernel == 3 ? add_filter<L, 3>(to, filter, g[at], count)
                            : add_filter<L, 1>(to, filter, g[at], count);
        }
      }
    }
  }

 private:
  // kSide rows and columns of the filter at once.
  template <int L, int kSide>
  HOST_DEVICE void add_filter(float* to, const float* filter, float slope, int count) const {
    for (int k = 0; k < shape.kernel; k += kSide) {
      for (int t = 0; t < shape.kernel; t += kSide) {
        for (int p = 0; p < kSide * kSide; ++p) {
          const int i = k + p / kSide;
          const int j = (t + p % kSide) * shape.in.c;
          float* sum = to + i * shape.pitch() + j;
          store<L>(sum, load<L>(sum) + load<L>(filter + i * shape.row_taps() + j) * slope, count);
        }
      }
    }
  }
};

}  // namespace trainer::portable
