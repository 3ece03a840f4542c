// Convolution, then max pooling: the sum of one output runs over the filter's rows, columns and input channels, in this order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/divider.hpp"
#include "kernels/portable/product.hpp"
#include "kernels/shape.hpp"

namespace trainer::portable {

constexpr std::uint8_t kNoArgmax = 255;  // the gradient is zero because of the ReLU

// Without pooling, `window` is {1, 1}.
struct ConvShape {
  Shape in;   // with its border of zeros
  Shape out;  // after pooling
  int kernel = 1;
  int stride = 1;
  Window window = {1, 1};

  HOST_DEVICE int row_taps() const {
    return kernel * in.c;
  }  // the taps of a filter's row lie side by side, in x as in w
  HOST_DEVICE int taps() const { return kernel * row_taps(); }
  // Where the filter meets x for position `at` of the map, counted from the window's corner, row by row.
  HOST_DEVICE int offset(int at) const {
    return (at / window.size * in.w + at % window.size) * stride * in.c;
  }
  // The first tap of the window of output [row, column].
  HOST_DEVICE int corner(int row, int column) const {
    return (row * in.w + column) * window.stride * stride * in.c;
  }
};

// y [batch, out] = relu(maxpool(conv(x, w)) + b). The larger of two sums stays the larger when b is added to both, so that the
// pool comes first; of equal ones the first wins. `argmax` [batch, out], or null: the window's position, kNoArgmax below 0.
// Unit: one window, or four outputs of a row where there is no pool; L channels.
struct ConvForward {
  ConvShape shape;
  std::uint32_t batch = 0;
  const float* x = nullptr;  // [batch, in]
  const float* w = nullptr;  // [taps, padded]: filters lie side by side
  int padded = 0;
  const float* b = nullptr;  // [padded], or null
  bool relu = false;
  float* y = nullptr;
  std::uint8_t* argmax = nullptr;
  Divider by_tiles;    // tiles of L channels
  Divider by_columns;  // units in a row
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const {
    return by_tiles.by() * by_columns.by() * static_cast<std::uint32_t>(shape.out.h);
  }

  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t i) const {
    const std::uint32_t place = by_tiles.quotient(i);
    const std::uint32_t row = by_columns.quotient(place);
    const int column = static_cast<int>(place - row * by_columns.by());
    const int o = static_cast<int>(i - place * by_tiles.by()) * L;
    const float* image = x + std::size_t{n} * shape.in.h * shape.in.w * shape.in.c;
    const std::size_t line = (std::size_t{n} * shape.out.h + row) * shape.out.w;
    if (shape.window.size == 1) {
      four_outputs<L>(image, static_cast<int>(row), column * 4, o, line);
      return;
    }
    const float* corner = image + shape.corner(static_cast<int>(row), column);
    Floats<L> best{};
    Words<L> at{};
    shape.window.size == 3 ? window_maximum<L, 9>(corner, o, best, at)
                           : window_maximum<L, 4>(corner, o, best, at);
    finish<L>((line + column) * shape.out.c, o, best, at);
  }

 private:
  // sums[q] = the filters' sums at x + offset[q].
  template <int L, int kSums>
  HOST_DEVICE void filter_sums(const float* corner, int o, const int (&offset)[kSums],
                               Floats<L> (&sums)[kSums]) const {
    for (int q = 0; q < kSums; ++q) sums[q] = Floats<L>{};
    const float* filter = w + o;
    const int row_taps = shape.row_taps();
    for (int k = 0; k < shape.kernel; ++k) {
      const float* from = corner + static_cast<std::size_t>(k) * shape.in.w * shape.in.c;
      for (int t = 0; t < row_taps; ++t, filter += padded) {
        const Floats<L> factor = load<L>(filter);
        for (int q = 0; q < kSums; ++q) sums[q] = sums[q] + factor * from[offset[q] + t];
      }
    }
  }

  template <int L, int kSums>
  HOST_DEVICE void window_maximum(const float* corner, int o, Floats<L>& best, Words<L>& at) const {
    const int area = shape.window.size * shape.window.size;
    for (int first = 0; first < area; first += kSums) {
      int offset[kSums];
      for (int q = 0; q < kSums; ++q) offset[q] = shape.offset(first + q < area ? first + q : area - 1);
      Floats<L> sums[kSums];
      filter_sums<L, kSums>(corner, o, offset, sums);
      for (int q = 0; q < kSums; ++q) {
        if (first + q == 0) {
          best = sums[0];
          continue;
        }
        const auto more = sums[q] > best;
        best = more ? sums[q] : best;
        at = more ? Words<L>{} + static_cast<std::uint32_t>(first + q) : at;
      }
    }
  }

  template <int L>
  HOST_DEVICE void four_outputs(const float* image, int row, int column, int o, std::size_t line) const {
    int offset[4];
    for (int q = 0; q < 4; ++q) {
      const int last = column + q < shape.out.w ? column + q : shape.out.w - 1;
      offset[q] = shape.corner(row, last);
    }
    Floats<L> sums[4];
    filter_sums<L, 4>(image, o, offset, sums);
    for (int q = 0; q < 4 && column + q < shape.out.w; ++q)
      finish<L>((line + column + q) * shape.out.c, o, sums[q], Words<L>{});
  }

  template <int L>
  HOST_DEVICE void finish(std::size_t pixel, int o, Floats<L> sum, Words<L> at) const {
    const Floats<L> zero{};
    if (b != nullptr) sum = sum + load<L>(b + o);
    if (relu) {
      at = sum > zero ? at : Words<L>{} + static_cast<std::uint32_t>(kNoArgmax);
      sum = sum < zero ? zero : sum;
    }
    store<L>(y + pixel + o, sum, shape.out.c - o);
    if (argmax != nullptr) store<L>(argmax + pixel + o, at, shape.out.c - o);
  }
};

// g = dy where the argmax says that the ReLU let it pass, else 0. [batch, count]
struct MaskGradient {
  Rows rows = {};
  std::uint32_t count = 0;
  const float* dy = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* g = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return rows.batch; }
  HOST_DEVICE std::uint32_t inner() const { return count; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t position, std::uint32_t i) const {
    if (position >= rows.count()) return;
    const std::size_t at = std::size_t{rows.row(position)} * count + i;
    g[at] = argmax[at] == kNoArgmax ? 0.0F : dy[at];
  }
};

// partial [kShards, out, taps]: each shard's share of dw. An image's own sum runs over the pooled positions; the images' sums are
// added in order. Unit: kTiles tiles of L taps of a filter, in one shard.
struct ConvWeights {
  static constexpr int kTiles = 4;

  ConvShape shape;
  Rows rows = {};
  const float* x = nullptr;
  const float* g = nullptr;  // [batch, out]
  const std::uint8_t* argmax = nullptr;
  float* partial = nullptr;
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const { return kShards * static_cast<std::uint32_t>(shape.out.c); }
  HOST_DEVICE std::uint32_t inner() const { return pieces(tiles(), kTiles); }

  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const std::uint32_t s = outer % kShards;
    const std::uint32_t o = outer / kShards;
    int in_x[kTiles];
    int in_w[kTiles];
    int width[kTiles];
    place_tiles<L>(inner, in_x, in_w, width);
    Floats<L> sum[kTiles] = {};
    for (std::uint32_t i = rows.begin(s); i < rows.begin(s + 1); ++i) add_image<L>(rows.row(i), o, in_x, sum);
    float* to = partial + (std::size_t{s} * shape.out.c + o) * shape.taps();
    for (int t = 0; t < kTiles; ++t) store<L>(to + in_w[t], sum[t], width[t]);
  }

 private:
  HOST_DEVICE std::uint32_t row_tiles() const {
    return pieces(static_cast<std::uint32_t>(shape.row_taps()), static_cast<std::uint32_t>(lanes));
  }
  HOST_DEVICE std::uint32_t tiles() const { return row_tiles() * static_cast<std::uint32_t>(shape.kernel); }

  // The tiles of unit `inner`, the last one again and again where there are no more.
  template <int L>
  HOST_DEVICE void place_tiles(std::uint32_t inner, int (&in_x)[kTiles], int (&in_w)[kTiles],
                               int (&width)[kTiles]) const {
    for (int t = 0; t < kTiles; ++t) {
      const std::uint32_t wanted = inner * kTiles + static_cast<std::uint32_t>(t);
      const std::uint32_t tile = wanted < tiles() ? wanted : tiles() - 1;
      const auto row = static_cast<int>(tile / row_tiles());
      const int tap = (static_cast<int>(tile) - row * static_cast<int>(row_tiles())) * L;
      in_x[t] = row * shape.in.w * shape.in.c + tap;
      in_w[t] = row * shape.row_taps() + tap;
      width[t] = shape.row_taps() - tap;
    }
  }

  template <int L>
  HOST_DEVICE void add_image(std::uint32_t n, std::uint32_t o, const int (&in_x)[kTiles],
                             Floats<L> (&sum)[kTiles]) const {
    const float* image = x + std::size_t{n} * shape.in.h * shape.in.w * shape.in.c;
    std::size_t at = std::size_t{n} * shape.out.h * shape.out.w * shape.out.c + o;
    Floats<L> own[kTiles] = {};
    for (int row = 0; row < shape.out.h; ++row) {
      for (int column = 0; column < shape.out.w; ++column, at += static_cast<std::size_t>(shape.out.c)) {
        if (argmax[at] == kNoArgmax) continue;
        const float* from = image + shape.corner(row, column) + shape.offset(argmax[at]);
        for (int t = 0; t < kTiles; ++t) own[t] = own[t] + load<L>(from + in_x[t]) * g[at];
      }
    }
    for (int t = 0; t < kTiles; ++t) sum[t] = sum[t] + own[t];
  }
};

// dx [batch, in] of the listed rows, border included: each element sums by pooled position, then output channel; the others become
// zero. Unit: L channels of an image.
struct ConvInput {
  ConvShape shape;
  Rows rows = {};
  const float* w = nullptr;  // [out, taps]
  const float* g = nullptr;
  const std::uint8_t* argmax = nullptr;
  float* dx = nullptr;
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const { return rows.batch; }
  HOST_DEVICE std::uint32_t inner() const {
    return pieces(static_cast<std::uint32_t>(shape.in.c), static_cast<std::uint32_t>(lanes));
  }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t position, std::uint32_t inner) const {
    const std::size_t n = rows.row(position);
    const int c = static_cast<int>(inner) * L;
    const int count = shape.in.c - c;
    float* image = dx + n * shape.in.h * shape.in.w * shape.in.c + c;
    for (int i = 0; i < shape.in.h * shape.in.w; ++i)
      store<L>(image + static_cast<std::size_t>(i) * shape.in.c, Floats<L>{}, count);
    if (position >= rows.count()) return;
    std::size_t at = n * shape.out.h * shape.out.w * shape.out.c;
    for (int row = 0; row < shape.out.h; ++row) {
      for (int column = 0; column < shape.out.w; ++column) {
        float* corner = image + shape.corner(row, column);
        for (int o = 0; o < shape.out.c; ++o, ++at) {
          if (argmax[at] != kNoArgmax)
            add_filter<L>(corner + shape.offset(argmax[at]),
                          w + static_cast<std::size_t>(o) * shape.taps() + c, g[at], count);
        }
      }
    }
  }

 private:
  template <int L>
  HOST_DEVICE void add_filter(float* to, const float* filter, float gradient, int count) const {
    for (int k = 0; k < shape.kernel; ++k, to += static_cast<std::ptrdiff_t>(shape.in.w) * shape.in.c) {
      for (int t = 0; t < shape.row_taps(); t += shape.in.c, filter += shape.in.c)
        store<L>(to + t, load<L>(to + t) + load<L>(filter) * gradient, count);
    }
  }
};

}  // namespace trainer::portable
