// Convolution, then max pooling: the sum of one output runs over the filter's rows, columns and input channels, in this order.
#pragma once

#include <cstdint>

#include "kernels/portable/pointwise.hpp"

namespace trainer::portable {

// to [batch, its shape] = from, moved down and to the right, and zero elsewhere: a border of zeros around a map, or its inner part.
struct Move {
  int batch = 0;
  const float* from = nullptr;
  Shape from_shape;
  float* to = nullptr;
  Shape to_shape;
  int down = 0, right = 0;

  HOST_DEVICE Units units() const { return {batch, to_shape.h, 1, to_shape.w * to_shape.c}; }
  HOST_DEVICE void unit(int n, int row) const {
    const int width = to_shape.w * to_shape.c;
    const int begin = right * to_shape.c;
    const int source = row - down;
    const int end = source >= 0 && source < from_shape.h ? begin + from_shape.w * from_shape.c : 0;
    const float* line = from + image_at(n, from_shape) + source * from_shape.w * from_shape.c - begin;
    float* target = to + image_at(n, to_shape) + row * width;
    for (int i = 0; i < width; ++i) target[i] = i >= begin && i < end ? line[i] : 0.0F;
  }
};

// What the other kernels share: x [batch, in], y [batch, out], w [out.c, taps]. Without pooling, `window` is {1, 1}.
struct ConvShape {
  Shape in;   // with its border of zeros, so that a filter never meets an edge
  Shape out;  // after pooling
  int kernel = 1, stride = 1;
  Window window = {1, 1};

  HOST_DEVICE int pitch() const { return in.w * in.c; }
  // The taps of a filter's row lie side by side, in x as in w.
  HOST_DEVICE int row_taps() const { return kernel * in.c; }
  HOST_DEVICE int taps() const { return kernel * row_taps(); }
  // Where in an image the filter begins for output [row, column], and how much later for position [i, j] of its window.
  HOST_DEVICE int corner(int row, int column) const {
    return offset(row * window.stride, column * window.stride);
  }
  HOST_DEVICE int offset(int i, int j) const { return (i * in.w + j) * stride * in.c; }
  HOST_DEVICE int offset(std::uint8_t position) const { return offset(position / 16, position % 16); }
};

// y = relu(maxpool(conv(x, w)) + b). The larger of two sums stays the larger when b is added to both, so that the pool comes
// first; of equal ones the first wins. `argmax` [batch, out], or null: the position in the window, kNoArgmax where the ReLU stops
// the gradient. Unit: a row of an image, a tile of channels.
struct ConvForward : ConvShape {
  int batch = 0;
  Tile tile;
  bool relu = false;
  const float *x = nullptr, *w = nullptr,
              *b = nullptr;  // w [taps, out.c]: filters lie side by side; b [out.c], or null
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;

  HOST_DEVICE Units units() const {
    return {batch, out.h, pieces(out.c, tile.width()), out.w * taps() * window.size * window.size};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int n, int row, int at) const {
    const int o = at * L * V;
    if (window.size == 1) return unpooled<L, V>(n, row, o);
    if (window.size == 2) return pooled < L, V, V == 3 ? 1 : 2, 2 > (n, row, o);
    window.size == 3 ? pooled<L, V, 3, 3>(n, row, o) : pooled<L, V, 1, 1>(n, row, o);
  }

 private:
  // The filters' sums at corner + offset[0], offset[1], ...
  template <int L, int V, int P>
  HOST_DEVICE void filter_sums(const float* corner, const int (&offset)[P], int o,
                               Floats<L> (&sums)[P][V]) const {
    const float* filter = w + o;
    for (int k = 0; k < kernel; ++k, corner += pitch()) {
      for (int t = 0; t < row_taps(); ++t, filter += out.c) {
        for (int v = 0; v < V; ++v) {
          const Floats<L> factor = load<L>(filter + v * L);
          for (int p = 0; p < P; ++p) sums[p][v] = sums[p][v] + factor * corner[offset[p] + t];
        }
      }
    }
  }

  // Computes kRows x kColumns positions of a window at once, as many as the registers hold.
  template <int L, int V, int kRows, int kColumns>
  HOST_DEVICE void pooled(int n, int row, int o) const {
    constexpr int kPositions = kRows * kColumns;
    const float* image = x + image_at(n, in);
    int offsets[kPositions];
    for (int p = 0; p < kPositions; ++p) offsets[p] = offset(p / kColumns, p % kColumns);
    for (int column = 0; column < out.w; ++column) {
      Floats<L> best[V];
      Words<L> at[V] = {};
      for (int i = 0; i < window.size; i += kRows) {
        for (int j = 0; j < window.size; j += kColumns) {
          Floats<L> sums[kPositions][V] = {};
          filter_sums<L, V>(image + corner(row, column) + offset(i, j), offsets, o, sums);
          for (int p = 0; p < kPositions; ++p) {
            const std::uint32_t position = window_position(i + p / kColumns, j + p % kColumns);
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
    for (int column = 0; column < out.w; column += 4) {
      int offsets[4];
      for (int p = 0; p < 4; ++p) offsets[p] = corner(row, column + p < out.w ? column + p : out.w - 1);
      Floats<L> sums[4][V] = {};
      filter_sums<L, V>(x + image_at(n, in), offsets, o, sums);
      for (int p = 0; p < 4 && column + p < out.w; ++p) {
        for (int v = 0; v < V; ++v) finish<L>(n, row, column + p, o + v * L, sums[p][v], Words<L>{});
      }
    }
  }

  template <int L>
  HOST_DEVICE void finish(int n, int row, int column, int o, Floats<L> sum, Words<L> at) const {
    const std::int64_t to = image_at(n, out) + (row * out.w + column) * out.c + o;
    const Floats<L> zero{};
    if (b != nullptr) sum = sum + load<L>(b + o);
    if (relu) {
      at = sum > zero ? at : Words<L>{} + kNoArgmax;
      sum = sum < zero ? zero : sum;
    }
    store<L>(y + to, sum, out.c - o);
    if (argmax != nullptr) store<L>(argmax + to, at, out.c - o);
  }
};

// partial [kShards, out.c, taps]: each shard's share of dw. An image's own sum runs over the pooled positions; the images' sums are
// added in order. Unit: in one shard, a tile of taps in `filter_rows` rows of a filter.
struct ConvWeights : ConvShape {
  Rows rows;
  Tile tile;
  int filter_rows = 1;  // 1, 3 or 5
  const float *x = nullptr, *g = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* partial = nullptr;

  HOST_DEVICE Units units() const {
    return {kShards * pieces(kernel, filter_rows), out.c, pieces(row_taps(), tile.width()),
            rows.batch / kShards * out.h * out.w * filter_rows};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int outer, int o, int at) const {
    const int shard = outer % kShards;
    const int k = outer / kShards * filter_rows;
    if (filter_rows == 3) return add_shard<L, V, 3>(shard, o, k, at * L * V);
    filter_rows == 5 ? add_shard<L, V, 5>(shard, o, k, at * L * V)
                     : add_shard<L, V, 1>(shard, o, k, at * L * V);
  }

 private:
  template <int L, int V, int R>
  HOST_DEVICE void add_shard(int shard, int o, int k, int tap) const {
    Floats<L> sum[R][V] = {};
    for (int n = rows.begin(shard); n < rows.begin(shard + 1); ++n) {
      if (!rows.count(n)) continue;
      Floats<L> own[R][V] = {};
      add_image<L, V, R>(n, o, k * pitch() + tap, own);
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = sum[r][v] + own[r][v];
      }
    }
    float* to = partial + (std::int64_t{shard} * out.c + o) * taps() + k * row_taps() + tap;
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) store<L>(to + r * row_taps() + v * L, sum[r][v], row_taps() - tap - v * L);
    }
  }

  template <int L, int V, int R>
  HOST_DEVICE void add_image(int n, int o, int tap, Floats<L> (&own)[R][V]) const {
    std::int64_t at = image_at(n, out) + o;
    for (int row = 0; row < out.h; ++row) {
      for (int column = 0; column < out.w; ++column, at += out.c) {
        if (argmax[at] == kNoArgmax) continue;
        const float* from = x + image_at(n, in) + tap + corner(row, column) + offset(argmax[at]);
        for (int r = 0; r < R; ++r) {
          for (int v = 0; v < V; ++v) own[r][v] = own[r][v] + load<L>(from + r * pitch() + v * L) * g[at];
        }
      }
    }
  }
};

// dx, border included, of the rows that count: each element sums by pooled position, then output channel; the others become zero.
// Unit: an image, whose pixels' channels lie side by side as in a row of a filter; or, if `split`, one channel of it.
struct ConvInput : ConvShape {
  Rows rows;
  Tile tile;
  bool split = false;
  const float *w = nullptr, *g = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* dx = nullptr;

  HOST_DEVICE Units units() const {
    return {rows.batch, split ? in.c : 1, 1, out.h * out.w * out.c * taps()};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int n, int channel) const {
    float* image = dx + image_at(n, in) + channel;
    for (int i = 0; i < in.h * pitch(); i += step()) image[i] = 0.0F;
    if (!rows.count(n)) return;
    std::int64_t at = image_at(n, out);
    for (int row = 0; row < out.h; ++row) {
      for (int column = 0; column < out.w; ++column) {
        for (int o = 0; o < out.c; ++o, ++at) {
          if (argmax[at] == kNoArgmax) continue;
          float* to = image + corner(row, column) + offset(argmax[at]);
          add_filter<L, V>(to, w + o * taps() + channel, g[at]);
        }
      }
    }
  }

 private:
  HOST_DEVICE int step() const { return split ? in.c : 1; }

  template <int L, int V>
  HOST_DEVICE void add_filter(float* to, const float* filter, float slope) const {
    for (int k = 0; k < kernel; ++k, to += pitch(), filter += row_taps()) {
      for (int t = 0; t < row_taps(); t += step() * L * V) {
        for (int v = 0; v < V; ++v) {
          float* sum = to + t + v * L;
          store<L>(sum, load<L>(sum) + load<L>(filter + t + v * L) * slope, row_taps() - t - v * L);
        }
      }
    }
  }
};

}  // namespace trainer::portable
