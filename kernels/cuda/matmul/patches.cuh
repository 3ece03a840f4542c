// The operands of a convolution's three products, and of a dense layer's, which is a convolution of maps of
// one pixel: x seen as the patches under the filter, the gradient of the map before the pool, the weights.
// Neither is ever made: patches and gradients are read where they lie. Stride 1, no border; channels are
// multiples of 4.
//   forward  map [position, out]  =  patches [position, tap, c]  x  w [out, tap, c]
//   dw       [out, tap, c]        =  dmap [position, out]        x  patches [position, tap, c]
//   dx       [image, c] of a pixel =  dmap [image, tap, out]     x  w [tap, out, c]
// A position is a pool's output and, before the others of the map, the pixels of its window row by row. A
// place is where its row or column begins in memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/product_norm.hpp"

namespace trainer::cuda {

// Values that follow one another, in one load.
template <typename T, unsigned kCount>
struct alignas(kCount * sizeof(T)) Run {
  T value[kCount];

  __device__ static Run read(const T* from) { return *reinterpret_cast<const Run*>(from); }
};

template <typename T>
__device__ float4 read_quad(const T* from) {
  const auto q = Run<T, 4>::read(from);
  return {static_cast<float>(q.value[0]), static_cast<float>(q.value[1]), static_cast<float>(q.value[2]),
          static_cast<float>(q.value[3])};
}

// Term j of N rows or columns.
template <unsigned N, typename T>
__device__ void read_run(const T* from, unsigned j, float (&values)[N][4]) {
  const auto run = Run<T, N>::read(from);
#pragma unroll
  for (unsigned n = 0; n < N; ++n) values[n][j] = static_cast<float>(run.value[n]);
}

// Where channel k % c of the filter's place k / c lies in x, from the patch's corner.
__device__ inline unsigned tap_offset(const PatchShape& s, unsigned k) {
  const unsigned tap = s.by_c.quotient(k);
  const unsigned y = s.by_kernel.quotient(tap);
  return (y * s.w + tap - y * s.kernel) * s.c + k - tap * s.c;
}

// Where the patch of a pixel of the map before the pool has its corner in x.
__device__ inline unsigned patch_offset(const PatchShape& s, unsigned position) {
  const unsigned output = position >> s.area_bits();
  const unsigned in_window = position & (s.area() - 1);
  const unsigned image = s.by_outputs.quotient(output);
  const unsigned place = output - image * s.outputs;
  const unsigned row = s.by_columns.quotient(place);
  const unsigned y = (row << s.pool_bit) + (in_window >> s.pool_bit);
  const unsigned x = ((place - row * s.columns) << s.pool_bit) + (in_window & s.pool_bit);
  return ((image * s.h + y) * s.w + x) * s.c;
}

// Forward: patches, a row a position.
template <typename T>
struct PatchRows {
  static constexpr bool kAlongTerms = true;
  using Place = const T*;
  using Terms = unsigned;
  PatchShape s;
  const T* x;
  __device__ unsigned count() const { return s.positions(); }
  __device__ Place place(unsigned i) const { return x + patch_offset(s, i); }
  __device__ Terms terms(unsigned k) const { return tap_offset(s, k); }
  __device__ float4 at(Place patch, Terms tap) const { return read_quad(patch + tap); }
};

// dw: patches, a term a position. With a pool, four terms are a window. A null place is a column of ones.
template <typename T>
struct PatchTerms {
  static constexpr bool kAlongTerms = false;
  using Place = const T*;
  using Terms = unsigned;
  PatchShape s;
  const T* x;
  __device__ unsigned count() const { return s.taps * s.c + s.ones; }
  __device__ Place place(unsigned i) const { return i < s.taps * s.c ? x + tap_offset(s, i) : nullptr; }
  __device__ Terms terms(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Place tap, Terms k, float (&values)[N][4]) const {
    if (tap == nullptr) {
#pragma unroll
      for (unsigned n = 0; n < N; ++n) values[n][0] = values[n][1] = values[n][2] = values[n][3] = 1;
      return;
    }
    if (s.pool_bit > 0) {
      const T* window = tap + patch_offset(s, k);
#pragma unroll
      for (unsigned j = 0; j < 4; ++j) read_run(window + (j / 2 * s.w + j % 2) * s.c, j, values);
      return;
    }
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (k + j < s.positions()) read_run(tap + patch_offset(s, k + j), j, values);
    }
  }
};

// Forward: w, a column a filter.
struct FilterColumns {
  static constexpr bool kAlongTerms = true;
  using Place = const float*;
  using Terms = unsigned;
  const float* w;
  unsigned filters, width;
  __device__ unsigned count() const { return filters; }
  __device__ Place place(unsigned i) const { return w + std::size_t{i} * width; }
  __device__ Terms terms(unsigned k) const { return k; }
  __device__ float4 at(Place filter, Terms k) const { return read_quad(filter + k); }
};

// In place of an argmax where the ReLU behind the pool has stopped a window.
constexpr std::uint8_t kStopped = 4;

// The gradient behind the pool; the one before it lies where a window's argmax is.
template <typename T>
struct MapGradient {
  const T* dz;                 // [n, rows, columns, out]
  const std::uint8_t* argmax;  // of the same shape; null without a pool; kStopped: none has won
};

// dw: dmap, a term a position, a row a filter.
template <typename T>
struct GradientTerms {
  static constexpr bool kAlongTerms = false;
  using Place = unsigned;
  using Terms = unsigned;
  PatchShape s;
  MapGradient<T> d;
  __device__ unsigned count() const { return s.out; }
  __device__ Place place(unsigned i) const { return i; }
  __device__ Terms terms(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Place filter, Terms k, float (&values)[N][4]) const {
    if (s.pool_bit > 0) {
      at_window(k / 4 * s.out + filter, values);
      return;
    }
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (k + j < s.positions()) read_run(d.dz + (k + j) * s.out + filter, j, values);
    }
  }

 private:
  // The four pixels of a window, of which one has won.
  template <unsigned N>
  __device__ void at_window(unsigned i, float (&values)[N][4]) const {
    const auto dz = Run<T, N>::read(d.dz + i);
    const auto won = Run<std::uint8_t, N>::read(d.argmax + i);
#pragma unroll
    for (unsigned n = 0; n < N; ++n) {
#pragma unroll
      for (unsigned j = 0; j < 4; ++j)
        values[n][j] = won.value[n] == j ? static_cast<float>(dz.value[n]) : 0.0F;
    }
  }
};

// The taps of one pixel of x that reach what windows have of the map.
struct Reach {
  unsigned y, x;  // of the pixel
  unsigned first_y, first_x;
  Divider by_across;  // taps beside one another
  unsigned terms;     // of them and of the map's channels

  struct Term {
    unsigned tap_y, tap_x;
    unsigned channel;  // of the map
  };
  __device__ Term term(const PatchShape& s, unsigned k) const {
    const unsigned number = s.by_out.quotient(k);
    const unsigned down = by_across.quotient(number);
    return {first_y + down, first_x + number - down * by_across.by(), k - number * s.out};
  }
};

__device__ inline Reach reach_of(const PatchShape& s, unsigned pixel) {
  const unsigned y = pixel / s.w;
  const unsigned x = pixel - y * s.w;
  const unsigned height = s.rows << s.pool_bit;  // of what windows have of the map
  const unsigned width = s.columns << s.pool_bit;
  const unsigned first_y = y < height ? 0 : y - height + 1;
  const unsigned first_x = x < width ? 0 : x - width + 1;
  const unsigned end_y = min(y, s.kernel - 1) + 1;
  const unsigned end_x = min(x, s.kernel - 1) + 1;
  const unsigned down = end_y > first_y ? end_y - first_y : 0;
  const unsigned across = end_x > first_x ? end_x - first_x : 0;
  return {y, x, first_y, first_x, Divider(max(across, 1U)), down * across * s.out};
}

// dx of one pixel: dmap, a row an image.
template <typename T>
struct GradientRows {
  static constexpr bool kAlongTerms = true;
  using Place = unsigned;
  struct Terms {
    unsigned at, own;  // in dz of the first image; in its window
  };
  PatchShape s;
  Reach reach;
  MapGradient<T> d;
  __device__ unsigned count() const { return s.batch; }
  __device__ Place place(unsigned i) const { return i * s.outputs * s.out; }
  __device__ Terms terms(unsigned k) const {
    const Reach::Term t = reach.term(s, k);
    const unsigned y = reach.y - t.tap_y;
    const unsigned x = reach.x - t.tap_x;
    const unsigned output = (y >> s.pool_bit) * s.columns + (x >> s.pool_bit);
    return {output * s.out + t.channel, ((y & s.pool_bit) << s.pool_bit) + (x & s.pool_bit)};
  }
  __device__ float4 at(Place image, const Terms& k) const {
    float4 q = read_quad(d.dz + image + k.at);
    if (s.pool_bit == 0) return q;
    const auto won = Run<std::uint8_t, 4>::read(d.argmax + image + k.at);
    q.x = won.value[0] == k.own ? q.x : 0.0F;
    q.y = won.value[1] == k.own ? q.y : 0.0F;
    q.z = won.value[2] == k.own ? q.z : 0.0F;
    q.w = won.value[3] == k.own ? q.w : 0.0F;
    return q;
  }
};

// dx of one pixel: w, a column a channel of x. Four terms are channels of the map, of one tap.
struct FilterTerms {
  static constexpr bool kAlongTerms = false;
  using Place = unsigned;
  using Terms = const float*;
  PatchShape s;
  Reach reach;
  const float* w;
  __device__ unsigned count() const { return s.c; }
  __device__ Place place(unsigned i) const { return i; }
  __device__ Terms terms(unsigned k) const {
    const Reach::Term t = reach.term(s, k);
    return w + (t.channel * s.taps + t.tap_y * s.kernel + t.tap_x) * s.c;
  }
  template <unsigned N>
  __device__ void at(Place channel, Terms first, float (&values)[N][4]) const {
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) read_run(first + j * s.taps * s.c + channel, j, values);
  }
};

}  // namespace trainer::cuda
