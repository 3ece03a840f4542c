// The operands of a convolution's three products, and of a dense layer's, which is a convolution of maps of
// one pixel: x seen as the patches under the filter, the gradient of the map before the pool, the weights.
// Neither is ever made: patches and gradients are read where they lie. Stride 1; channels are multiples of 4.
//   forward  map [position, out]  =  patches [position, tap, c]  x  w [out, tap, c]
//   dw       [out, tap, c]        =  dmap [position, out]        x  patches [position, tap, c]
//   dx       [image, c] of a pixel =  dmap [image, tap, out]     x  w [tap, out, c]
// A position is a pool's output and, before the others of the map, the pixels of its window row by row.
#pragma once

#include <cstdint>

#include "kernels/cuda/map_element.hpp"
#include "kernels/cuda/product_norm.hpp"

namespace trainer::cuda {

template <typename T>
struct alignas(4 * sizeof(T)) Quad {
  T value[4];
};

template <typename T>
__device__ float4 read_quad(const T* from) {
  const Quad<T> q = *reinterpret_cast<const Quad<T>*>(from);
  return {static_cast<float>(q.value[0]), static_cast<float>(q.value[1]), static_cast<float>(q.value[2]),
          static_cast<float>(q.value[3])};
}

// A place of the filter, and the first of four channels there.
struct Tap {
  int y, x;
  unsigned channel;
  bool inside;
};

__device__ inline Tap tap_of(unsigned k, unsigned channels, int kernel, unsigned taps) {
  const unsigned tap = k / channels;
  return {static_cast<int>(tap) / kernel, static_cast<int>(tap) % kernel, k % channels, tap < taps};
}

// A pixel of the map before the pool: the corner of its patch.
struct Position {
  unsigned image;  // where in x it begins
  int y, x;
  bool inside;
};

__device__ inline Position position_of(const PatchShape& s, unsigned p) {
  const unsigned output = p / s.area();
  const auto in_window = static_cast<int>(p % s.area());
  const unsigned image = output / s.outputs();
  const auto place = static_cast<int>(output % s.outputs());
  return {image * static_cast<unsigned>(s.h * s.w) * s.c,
          place / s.columns * s.pool + in_window / s.pool - s.top,
          place % s.columns * s.pool + in_window % s.pool - s.left, image < s.batch};
}

template <typename T>
__device__ float4 patch_quad(const PatchShape& s, const T* x, const Position& at, const Tap& tap) {
  const int row = at.y + tap.y;
  const int column = at.x + tap.x;
  if (row < 0 || row >= s.h || column < 0 || column >= s.w) return {0, 0, 0, 0};
  return read_quad(x + at.image + static_cast<unsigned>(row * s.w + column) * s.c + tap.channel);
}

// Forward: patches, a row a position.
template <typename T>
struct PatchRows {
  static constexpr bool kAlongTerms = true;
  using Place = Position;
  using Term = Tap;
  PatchShape s;
  const T* x;
  __device__ Place place(unsigned i) const { return position_of(s, i); }
  __device__ Term term(unsigned k) const { return tap_of(k, s.c, s.kernel, s.taps()); }
  __device__ float4 quad(const Place& at, const Term& tap) const { return patch_quad(s, x, at, tap); }
};

// dw: patches, a term a position.
template <typename T>
struct PatchTerms {
  static constexpr bool kAlongTerms = false;
  using Place = Tap;
  using Term = Position;
  PatchShape s;
  const T* x;
  __device__ Place place(unsigned i) const { return tap_of(i, s.c, s.kernel, s.taps()); }
  __device__ Term term(unsigned k) const { return position_of(s, k); }
  __device__ float4 quad(const Place& tap, const Term& at) const { return patch_quad(s, x, at, tap); }
};

// Forward: w, a column a filter.
struct FilterColumns {
  static constexpr bool kAlongTerms = true;
  struct Place {
    unsigned first;
    bool inside;
  };
  using Term = unsigned;
  const float* w;
  unsigned filters, terms;
  __device__ Place place(unsigned i) const { return {i * terms, i < filters}; }
  __device__ Term term(unsigned k) const { return k; }
  __device__ float4 quad(const Place& at, Term k) const { return read_quad(w + at.first + k); }
};

// The gradient behind the pool as one before it: where a window's winner is.
template <typename T>
struct MapGradient {
  const T* dz;                  // [n, rows, columns, out]
  const std::uint8_t* winners;  // of the same shape; null without a pool

  // Of four channels from element i of dz, at place `own` of their window.
  __device__ float4 quad(unsigned i, unsigned own) const {
    float4 q = read_quad(dz + i);
    if (winners == nullptr) return q;
    const Quad<std::uint8_t> won = *reinterpret_cast<const Quad<std::uint8_t>*>(winners + i);
    q.x = won.value[0] == own ? q.x : 0.0F;
    q.y = won.value[1] == own ? q.y : 0.0F;
    q.z = won.value[2] == own ? q.z : 0.0F;
    q.w = won.value[3] == own ? q.w : 0.0F;
    return q;
  }
};

// dw: dmap, a term a position, a row a filter.
template <typename T>
struct GradientTerms {
  static constexpr bool kAlongTerms = false;
  struct Place {
    unsigned filter;
    bool inside;
  };
  using Term = unsigned;
  PatchShape s;
  MapGradient<T> d;
  __device__ Place place(unsigned i) const { return {i, i < s.out}; }
  __device__ Term term(unsigned k) const { return k; }
  __device__ float4 quad(const Place& at, Term k) const {
    return d.quad(k / s.area() * s.out + at.filter, k % s.area());
  }
};

// The taps of one pixel of x that reach the map, and of the map what a window has.
struct Reach {
  int y, x;  // of the pixel, from the border's corner
  int first_y, first_x;
  int across;      // taps beside one another
  unsigned terms;  // of them and of the map's channels

  __device__ Tap tap(unsigned k, unsigned channels) const {
    const auto number = static_cast<int>(k / channels);
    return {first_y + number / across, first_x + number % across, k % channels, true};
  }
};

__device__ inline Reach reach_of(const PatchShape& s, unsigned pixel) {
  const int y = static_cast<int>(pixel) / s.w + s.top;
  const int x = static_cast<int>(pixel) % s.w + s.left;
  const int first_y = max(y - s.rows * s.pool + 1, 0);
  const int first_x = max(x - s.columns * s.pool + 1, 0);
  const int down = max(min(y, s.kernel - 1) - first_y + 1, 0);
  const int across = max(min(x, s.kernel - 1) - first_x + 1, 0);
  return {y, x, first_y, first_x, across, static_cast<unsigned>(down * across) * s.out};
}

// dx of one pixel: dmap, a row an image.
template <typename T>
struct GradientRows {
  static constexpr bool kAlongTerms = true;
  struct Place {
    unsigned image;
    bool inside;
  };
  struct Term {
    unsigned at, own;  // in dz of the first image; in its window
  };
  PatchShape s;
  Reach reach;
  MapGradient<T> d;
  __device__ Place place(unsigned i) const { return {i * s.outputs() * s.out, i < s.batch}; }
  __device__ Term term(unsigned k) const {
    const Tap tap = reach.tap(k, s.out);
    const int y = reach.y - tap.y;
    const int x = reach.x - tap.x;
    const auto output = static_cast<unsigned>(y / s.pool * s.columns + x / s.pool);
    return {output * s.out + tap.channel, static_cast<unsigned>(y % s.pool * s.pool + x % s.pool)};
  }
  __device__ float4 quad(const Place& at, const Term& k) const { return d.quad(at.image + k.at, k.own); }
};

// dx of one pixel: w, a column a channel of x.
struct FilterTerms {
  static constexpr bool kAlongTerms = false;
  struct Place {
    unsigned channel;
    bool inside;
  };
  using Term = const float*;
  PatchShape s;
  Reach reach;
  const float* w;
  __device__ Place place(unsigned i) const { return {i, i < s.c}; }
  __device__ Term term(unsigned k) const {
    const Tap tap = reach.tap(k, s.out);
    return w + (tap.channel * s.taps() + static_cast<unsigned>(tap.y * s.kernel + tap.x)) * s.c;
  }
  __device__ float4 quad(const Place& at, Term row) const { return read_quad(row + at.channel); }
};

}  // namespace trainer::cuda
