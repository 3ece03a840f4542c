// The operands of the three implicit GEMMs of a convolution, or of a dense layer, which is a convolution on maps of one
// pixel: the patches of x (im2col), the gradient of the map at the pool's input, the weights. Patches and that gradient
// are never materialised: their elements are loaded from x and from the upstream gradient. Stride 1, no border;
// channels are multiples of 4.
//   product   C                     operand A                     operand B
//   forward   map [position, out] = patches [position, tap, c]  x w [out, tap, c]
//   dw        [out, tap, c]       = dmap [position, out]        x patches [position, tap, c]
//   dx        [image, c]          = dmap [image, tap, out]      x w [tap, out, c]              for each pixel
// Positions number the pixels of the map window by window of the pool, and row by row within a window.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/product_plan.hpp"

namespace trainer::cuda {

// A vector load: kCount consecutive values at once.
template <typename T, unsigned kCount>
struct alignas(kCount * sizeof(T)) Vector {
  T value[kCount];

  __device__ static Vector load(const T* from) { return *reinterpret_cast<const Vector*>(from); }
};

template <typename T>
__device__ float4 load_four(const T* from) {
  const auto q = Vector<T, 4>::load(from);
  return {static_cast<float>(q.value[0]), static_cast<float>(q.value[1]), static_cast<float>(q.value[2]),
          static_cast<float>(q.value[3])};
}

// The elements of N rows or columns at K index j of four.
template <unsigned N, typename T>
__device__ void load_column(const T* from, unsigned j, float (&values)[N][4]) {
  const auto loaded = Vector<T, N>::load(from);
#pragma unroll
  for (unsigned n = 0; n < N; ++n) values[n][j] = static_cast<float>(loaded.value[n]);
}

// Offset in x of element k of a patch, from the patch's corner: channel k % c at the filter's tap k / c.
__device__ inline unsigned tap_offset(const PatchShape& s, unsigned k) {
  const unsigned tap = s.by_c.quotient(k);
  const unsigned y = s.by_kernel.quotient(tap);
  return (y * s.w + tap - y * s.kernel) * s.c + k - tap * s.c;
}

// Offset in x of the corner of the patch of a pixel of the map at the pool's input.
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

// Operand A of forward: the patches, one row for each position; K runs along a patch.
template <typename T>
struct ForwardPatches {
  static constexpr bool kAlongK = true;
  using Line = const T*;
  using KIndex = unsigned;
  PatchShape s;
  const T* x;
  __device__ unsigned count() const { return s.positions(); }
  __device__ Line line(unsigned i) const { return x + patch_offset(s, i); }
  __device__ KIndex k_index(unsigned k) const { return tap_offset(s, k); }
  __device__ float4 at(Line patch, KIndex tap) const { return load_four(patch + tap); }
};

// Operand B of dw: the patches; K runs along the positions. With a pool, four positions form a window. A null column
// stands for a column of ones.
template <typename T>
struct DwPatches {
  static constexpr bool kAlongK = false;
  using Line = const T*;
  using KIndex = unsigned;
  PatchShape s;
  const T* x;
  __device__ unsigned count() const { return s.depth() + s.ones; }
  __device__ Line line(unsigned i) const { return i < s.depth() ? x + tap_offset(s, i) : nullptr; }
  __device__ KIndex k_index(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Line tap, KIndex k, float (&values)[N][4]) const {
    if (tap == nullptr) {
#pragma unroll
      for (unsigned n = 0; n < N; ++n) values[n][0] = values[n][1] = values[n][2] = values[n][3] = 1;
      return;
    }
    if (s.pool_bit > 0) {
      const T* window = tap + patch_offset(s, k);
#pragma unroll
      for (unsigned j = 0; j < 4; ++j) load_column(window + (j / 2 * s.w + j % 2) * s.c, j, values);
      return;
    }
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (k + j < s.positions()) load_column(tap + patch_offset(s, k + j), j, values);
    }
  }
};

// Operand B of forward: w, one column for each filter.
struct ForwardFilters {
  static constexpr bool kAlongK = true;
  using Line = const float*;
  using KIndex = unsigned;
  const float* w;
  unsigned filters, width;
  __device__ unsigned count() const { return filters; }
  __device__ Line line(unsigned i) const { return w + std::size_t{i} * width; }
  __device__ KIndex k_index(unsigned k) const { return k; }
  __device__ float4 at(Line filter, KIndex k) const { return load_four(filter + k); }
};

// Replaces the argmax of a window whose output is cut off by the ReLU after the pool.
constexpr std::uint8_t kNoArgmax = 4;

// The upstream gradient, that of the pool's output. The map's equals it at each window's argmax and is 0 elsewhere.
template <typename T>
struct UpstreamGradient {
  const T* dz;                 // [n, rows, columns, out]
  const std::uint8_t* argmax;  // the same shape; null without a pool
};

// Operand A of dw: the map's gradient, one row for each filter; K runs along the positions.
template <typename T>
struct DwGradient {
  static constexpr bool kAlongK = false;
  using Line = unsigned;
  using KIndex = unsigned;
  PatchShape s;
  UpstreamGradient<T> d;
  __device__ unsigned count() const { return s.out; }
  __device__ Line line(unsigned i) const { return i; }
  __device__ KIndex k_index(unsigned k) const { return k; }
  template <unsigned N>
  __device__ void at(Line filter, KIndex k, float (&values)[N][4]) const {
    if (s.pool_bit > 0) {
      at_window(k / 4 * s.out + filter, values);
      return;
    }
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (k + j < s.positions()) load_column(d.dz + (k + j) * s.out + filter, j, values);
    }
  }

 private:
  // The four pixels of a window, only one of which has a gradient.
  template <unsigned N>
  __device__ void at_window(unsigned i, float (&values)[N][4]) const {
    const auto dz = Vector<T, N>::load(d.dz + i);
    const auto argmax = Vector<std::uint8_t, N>::load(d.argmax + i);
#pragma unroll
    for (unsigned n = 0; n < N; ++n) {
#pragma unroll
      for (unsigned j = 0; j < 4; ++j)
        values[n][j] = argmax.value[n] == j ? static_cast<float>(dz.value[n]) : 0.0F;
    }
  }
};

// The taps through which one pixel of x contributes to the part of the map that windows cover. The K index of dx runs
// over these taps and the map's channels.
struct PixelTaps {
  unsigned y, x;  // the pixel's
  unsigned first_y, first_x;
  Divider by_across;  // taps side by side
  unsigned depth;     // taps x channels of the map

  struct Tap {
    unsigned y, x;
    unsigned channel;  // the map's
  };
  __device__ Tap tap(const PatchShape& s, unsigned k) const {
    const unsigned number = s.by_out.quotient(k);
    const unsigned down = by_across.quotient(number);
    return {first_y + down, first_x + number - down * by_across.by(), k - number * s.out};
  }
};

__device__ inline PixelTaps taps_over(const PatchShape& s, unsigned pixel) {
  const unsigned y = pixel / s.w;
  const unsigned x = pixel - y * s.w;
  const unsigned height = s.rows << s.pool_bit;  // the part of the map that windows cover
  const unsigned width = s.columns << s.pool_bit;
  const unsigned first_y = y < height ? 0 : y - height + 1;
  const unsigned first_x = x < width ? 0 : x - width + 1;
  const unsigned end_y = min(y, s.kernel - 1) + 1;
  const unsigned end_x = min(x, s.kernel - 1) + 1;
  const unsigned down = end_y > first_y ? end_y - first_y : 0;
  const unsigned across = end_x > first_x ? end_x - first_x : 0;
  return {y, x, first_y, first_x, Divider(max(across, 1U)), down * across * s.out};
}

// Operand A of dx at one pixel: the map's gradient, one row for each image.
template <typename T>
struct DxGradient {
  static constexpr bool kAlongK = true;
  using Line = unsigned;
  struct KIndex {
    unsigned at, own;  // the output in dz of the first image; the pixel's place in its window
  };
  PatchShape s;
  PixelTaps taps;
  UpstreamGradient<T> d;
  __device__ unsigned count() const { return s.batch; }
  __device__ Line line(unsigned i) const { return i * s.outputs * s.out; }
  __device__ KIndex k_index(unsigned k) const {
    const PixelTaps::Tap t = taps.tap(s, k);
    const unsigned y = taps.y - t.y;
    const unsigned x = taps.x - t.x;
    const unsigned output = (y >> s.pool_bit) * s.columns + (x >> s.pool_bit);
    return {output * s.out + t.channel, ((y & s.pool_bit) << s.pool_bit) + (x & s.pool_bit)};
  }
  __device__ float4 at(Line image, const KIndex& k) const {
    float4 q = load_four(d.dz + image + k.at);
    if (s.pool_bit == 0) return q;
    const auto argmax = Vector<std::uint8_t, 4>::load(d.argmax + image + k.at);
    q.x = argmax.value[0] == k.own ? q.x : 0.0F;
    q.y = argmax.value[1] == k.own ? q.y : 0.0F;
    q.z = argmax.value[2] == k.own ? q.z : 0.0F;
    q.w = argmax.value[3] == k.own ? q.w : 0.0F;
    return q;
  }
};

// Operand B of dx at one pixel: w, one column for each channel of x. Four K indices are map channels at the same tap.
struct DxFilters {
  static constexpr bool kAlongK = false;
  using Line = unsigned;
  using KIndex = const float*;
  PatchShape s;
  PixelTaps taps;
  const float* w;
  __device__ unsigned count() const { return s.c; }
  __device__ Line line(unsigned i) const { return i; }
  __device__ KIndex k_index(unsigned k) const {
    const PixelTaps::Tap t = taps.tap(s, k);
    return w + (t.channel * s.taps + t.y * s.kernel + t.x) * s.c;
  }
  template <unsigned N>
  __device__ void at(Line channel, KIndex first, float (&values)[N][4]) const {
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) load_column(first + j * s.taps * s.c + channel, j, values);
  }
};

}  // namespace trainer::cuda
