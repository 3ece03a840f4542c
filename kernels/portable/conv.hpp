// Convolution, then max pooling: the sum of one output runs over the filter's rows, columns and input channels, in this order.
#pragma once

#include <cstdint>

#include "kernels/math/divider.hpp"
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
  HOST_DEVICE int row_taps() const { return kernel * in.c; }  // side by side, in x as in w
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
  const float *x = nullptr, *w = nullptr, *b = nullptr;  // w [taps, out.c]; b [out.c], or null
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;

  HOST_DEVICE Units units() const {
    return {batch, out.h, pieces(out.c, tile.width()), out.w * taps() * window.size * window.size};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int n, int row, int at) const {
    const int o = at * L * V;
    if (window.size == 1) return outputs<L, V, 4, 1, 1>(n, row, o);
    if (window.size == 2) return outputs < L, V, 1, V == 3 ? 1 : 2, 2 > (n, row, o);
    window.size == 3 ? outputs<L, V, 1, 3, 3>(n, row, o) : outputs<L, V, 1, 1, 1>(n, row, o);
  }

 private:
  // Adds as many sums at once as the registers hold: those of kOutputs neighbours, kRows x kColumns positions of their windows.
  template <int L, int V, int kOutputs, int kRows, int kColumns>
  HOST_DEVICE void outputs(int n, int row, int o) const {
    constexpr int kPositions = kRows * kColumns;
    for (int column = 0; column < out.w; column += kOutputs) {
      const int last = out.w - 1 - column;
      int offsets[kOutputs * kPositions];
      for (int s = 0; s < kOutputs * kPositions; ++s) {
        const int neighbour = s / kPositions < last ? s / kPositions : last;
        offsets[s] = corner(0, neighbour) + offset(s % kPositions / kColumns, s % kColumns);
      }
      Floats<L> best[kOutputs][V] = {};
      Words<L> at[kOutputs][V] = {};
      for (int i = 0; i < window.size; i += kRows) {
        for (int j = 0; j < window.size; j += kColumns) {
          Floats<L> sums[kOutputs * kPositions][V] = {};
          add_products<L, V>(x + image_at(n, in) + corner(row, column) + offset(i, j), offsets, o, sums);
          for (int s = 0; s < kOutputs * kPositions; ++s) {
            const std::uint32_t position = window_position(i + s % kPositions / kColumns, j + s % kColumns);
            const int q = s / kPositions;
            for (int v = 0; v < V; ++v) take_larger<L>(sums[s][v], position, best[q][v], at[q][v]);
          }
        }
      }
      for (int q = 0; q < kOutputs && q <= last; ++q) {
        for (int v = 0; v < V; ++v) finish<L>(n, row, column + q, o + v * L, best[q][v], at[q][v]);
      }
    }
  }

  // Adds what the filters give at corner + offsets[0], corner + offsets[1], ...
  template <int L, int V, int kSums>
  HOST_DEVICE void add_products(const float* corner, const int (&offsets)[kSums], int o,
                                Floats<L> (&sums)[kSums][V]) const {
    const float* filter = w + o;
    for (int k = 0; k < kernel; ++k, corner += pitch()) {
      for (int t = 0; t < row_taps(); ++t, filter += out.c) {
        for (int v = 0; v < V; ++v) {
          const Floats<L> factor = load<L>(filter + v * L);
          for (int s = 0; s < kSums; ++s) sums[s][v] = sums[s][v] + factor * corner[offsets[s] + t];
        }
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

// partial [groups, out.c, taps]: the share of dw of each shard, or of each image, whose own sum runs over the pooled positions.
// Unit: in one group, a tile of taps in `filter_rows` rows of a filter.
struct ConvWeights : ConvShape {
  Rows rows;
  Tile tile;
  int filter_rows = 1;  // 1, 3 or 5
  Divider groups;       // kShards or the batch
  const float *x = nullptr, *g = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* partial = nullptr;

  HOST_DEVICE int group_count() const { return static_cast<int>(groups.by()); }
  HOST_DEVICE Units units() const {
    return {group_count() * pieces(kernel, filter_rows), out.c, pieces(row_taps(), tile.width()),
            pieces(rows.batch, group_count()) * out.h * out.w * filter_rows};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int outer, int o, int at) const {
    const auto part = static_cast<int>(groups.quotient(static_cast<std::uint32_t>(outer)));
    const int group = outer - part * group_count();
    const int k = part * filter_rows;
    if (filter_rows == 3) return add_group<L, V, 3>(group, o, k, at * L * V);
    filter_rows == 5 ? add_group<L, V, 5>(group, o, k, at * L * V)
                     : add_group<L, V, 1>(group, o, k, at * L * V);
  }

 private:
  template <int L, int V, int R>
  HOST_DEVICE void add_group(int group, int o, int k, int tap) const {
    const bool is_shard = group_count() == kShards;
    const int end = is_shard ? rows.begin(group + 1) : group + 1;
    Floats<L> sum[R][V] = {};
    for (int n = is_shard ? rows.begin(group) : group; n < end; ++n) {
      if (!rows.count(n)) continue;
      Floats<L> own[R][V] = {};
      add_image<L, V, R>(n, o, k * pitch() + tap, own);
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = sum[r][v] + own[r][v];
      }
    }
    float* to = partial + (std::int64_t{group} * out.c + o) * taps() + k * row_taps() + tap;
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) store<L>(to + r * row_taps() + v * L, sum[r][v], row_taps() - tap - v * L);
    }
  }

  template <int L, int V, int R>
  HOST_DEVICE void add_image(int n, int o, int tap, Floats<L> (&own)[R][V]) const {
    std::int64_t at = image_at(n, out) + o;
    for (int row = 0; row < out.h; ++row) {
      for (int column = 0; column < out.w; column += kPlaces<L>) {
        const int places = out.w - column < kPlaces<L> ? out.w - column : kPlaces<L>;
        add_places<L, V, R>(x + image_at(n, in) + tap + corner(row, column), places, at, own);
        at += places * out.c;
      }
    }
  }

  // Adds `places` positions of a row, from element `at` of g on.
  template <int L, int V, int R>
  HOST_DEVICE void add_places(const float* from, int places, std::int64_t at, Floats<L> (&own)[R][V]) const {
    const float* begin[kPlaces<L>];
    float slope[kPlaces<L>];
    for (int q = 0; q < kPlaces<L>; ++q) {
      const int p = q < places ? q : 0;
      const auto position = read<std::uint8_t>(argmax + at + p * out.c);
      const bool counts = q < places && position != kNoArgmax;
      begin[q] = counts ? from + corner(0, p) + offset(position) : nullptr;
      slope[q] = read<float>(g + at + p * out.c);
    }
    for (int q = 0; q < kPlaces<L>; ++q) {
      if (begin[q] == nullptr) continue;
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v)
          own[r][v] = own[r][v] + load<L>(begin[q] + r * pitch() + v * L) * slope[q];
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
    const int size = in.h * pitch();
    for (int i = 0; split && i < in.h * in.w; ++i) image[i * in.c] = 0.0F;
    for (int i = 0; !split && i < size; i += L) store<L>(image + i, Floats<L>{}, size - i);
    if (!rows.count(n)) return;
    std::int64_t at = image_at(n, out);
    for (int row = 0; row < out.h; ++row) {
      for (int column = 0; column < out.w; ++column) {
        for (int o = 0; o < out.c; o += kPlaces<L>)
          add_filters<L, V>(image + corner(row, column), at + o, o, channel);
        at += out.c;
      }
    }
  }

 private:
  // The filters from o on, at gradient `at`.
  template <int L, int V>
  HOST_DEVICE void add_filters(float* to, std::int64_t at, int o, int channel) const {
    std::uint8_t position[kPlaces<L>];
    float slope[kPlaces<L>];
    for (int q = 0; q < kPlaces<L>; ++q) {
      const int p = o + q < out.c ? q : 0;
      position[q] = p == q ? read<std::uint8_t>(argmax + at + p) : kNoArgmax;
      slope[q] = read<float>(g + at + p);
    }
    for (int q = 0; q < kPlaces<L>; ++q) {
      if (position[q] == kNoArgmax) continue;
      float* begin = to + offset(position[q]);
      const float* filter = w + (o + q) * taps() + channel;
      if (!split) add_filter<L, V>(begin, filter, slope[q]);
      if (split)
        kernel == 3 ? add_channel<3>(begin, filter, slope[q]) : add_channel<1>(begin, filter, slope[q]);
    }
  }

  // kSide rows and columns of a filter's channel at once: all their sums are read before one is written.
  template <int kSide>
  HOST_DEVICE void add_channel(float* to, const float* filter, float slope) const {
    for (int k = 0; k < kernel; k += kSide) {
      for (int t = 0; t < kernel; t += kSide) {
        float* at[kSide * kSide];
        float sum[kSide * kSide];
        for (int p = 0; p < kSide * kSide; ++p) {
          const int i = k + p / kSide;
          const int j = (t + p % kSide) * in.c;
          at[p] = to + i * pitch() + j;
          sum[p] = *at[p] + read<float>(filter + i * row_taps() + j) * slope;
        }
        for (int p = 0; p < kSide * kSide; ++p) *at[p] = sum[p];
      }
    }
  }

  template <int L, int V>
  HOST_DEVICE void add_filter(float* to, const float* filter, float slope) const {
    for (int k = 0; k < kernel; ++k, to += pitch(), filter += row_taps()) {
      for (int t = 0; t < row_taps(); t += L * V) {
        for (int v = 0; v < V; ++v) {
          Floats<L> sum;
          __builtin_memcpy(&sum, to + t + v * L, sizeof sum);
          store<L>(to + t + v * L, sum + load<L>(filter + t + v * L) * slope, row_taps() - t - v * L);
        }
      }
    }
  }
};

}  // namespace trainer::portable
