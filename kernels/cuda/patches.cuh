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
  int offset;  // in x, from the patch's corner
  bool inside;
};

__device__ inline Tap tap_of(const PatchShape& s, unsigned k) {
  const unsigned tap = s.by_c.quotient(k);
  const auto y = static_cast<int>(s.by_kernel.quotient(tap));
  const int x = static_cast<int>(tap) - y * s.kernel;
  return {y, x, (y * s.w + x) * static_cast<int>(s.c) + static_cast<int>(k - tap * s.c), tap < s.taps};
}

// A pixel of the map before the pool: the corner of its patch.
struct Position {
  int y, x;
  int offset;  // in x
  bool inside;
};

__device__ inline Position position_of(const PatchShape& s, unsigned p) {
  const unsigned output = p >> s.area_bits();
  const auto in_window = static_cast<int>(p & (s.area() - 1));
  const unsigned image = s.by_outputs.quotient(output);
  const unsigned place = output - image * s.outputs;
  const unsigned row = s.by_columns.quotient(place);
  const auto column = static_cast<int>(place) - static_cast<int>(row) * s.columns;
  const int y = (static_cast<int>(row) << s.pool_bit) + (in_window >> s.pool_bit) - s.top;
  const int x = (column << s.pool_bit) + (in_window & s.pool_bit) - s.left;
  const int offset = ((static_cast<int>(image) * s.h + y) * s.w + x) * static_cast<int>(s.c);
  return {y, x, offset, image < s.batch};
}

template <typename T>
__device__ float4 patch_quad(const PatchShape& s, const T* x, const Position& at, const Tap& tap) {
  const bool inside = static_cast<unsigned>(at.y + tap.y) < static_cast<unsigned>(s.h) &&
                      static_cast<unsigned>(at.x + tap.x) < static_cast<unsigned>(s.w);
  return inside ? read_quad(x + at.offset + tap.offset) : float4{0, 0, 0, 0};
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
  __device__ Term term(unsigned k) const { return tap_of(s, k); }
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
  __device__ Place place(unsigned i) const { return tap_of(s, i); }
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
    return d.quad((k >> s.area_bits()) * s.out + at.filter, k & (s.area() - 1));
  }
};

// The taps of one pixel of x that reach what windows have of the map.
struct Reach {
  int y, x;  // of the pixel, from the border's corner
  int first_y, first_x;
  Divider by_across;  // taps beside one another
  unsigned terms;     // of them and of the map's channels

  struct Term {
    int tap_y, tap_x;
    unsigned channel;  // of the map
  };
  __device__ Term term(const PatchShape& s, unsigned k) const {
    const unsigned number = s.by_out.quotient(k);
    const unsigned down = by_across.quotient(number);
    return {first_y + static_cast<int>(down), first_x + static_cast<int>(number - down * by_across.by()),
            k - number * s.out};
  }
};

__device__ inline Reach reach_of(const PatchShape& s, unsigned pixel) {
  const int y = static_cast<int>(pixel) / s.w + s.top;
  const int x = static_cast<int>(pixel) % s.w + s.left;
  const int first_y = max(y - (s.rows << s.pool_bit) + 1, 0);
  const int first_x = max(x - (s.columns << s.pool_bit) + 1, 0);
  const int down = max(min(y, s.kernel - 1) - first_y + 1, 0);
  const int across = max(min(x, s.kernel - 1) - first_x + 1, 0);
  return {y,
          x,
          first_y,
          first_x,
          Divider(static_cast<unsigned>(max(across, 1))),
          static_cast<unsigned>(down * across) * s.out};
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
  __device__ Place place(unsigned i) const { return {i * s.outputs * s.out, i < s.batch}; }
  __device__ Term term(unsigned k) const {
    const Reach::Term t = reach.term(s, k);
    const int y = reach.y - t.tap_y;
    const int x = reach.x - t.tap_x;
    const auto output = static_cast<unsigned>((y >> s.pool_bit) * s.columns + (x >> s.pool_bit));
    const int own = ((y & s.pool_bit) << s.pool_bit) + (x & s.pool_bit);
    return {output * s.out + t.channel, static_cast<unsigned>(own)};
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
    const Reach::Term t = reach.term(s, k);
    return w + (t.channel * s.taps + static_cast<unsigned>(t.tap_y * s.kernel + t.tap_x)) * s.c;
  }
  __device__ float4 quad(const Place& at, Term row) const { return read_quad(row + at.channel); }
};

}  // namespace trainer::cuda
