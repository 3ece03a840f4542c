// What kernels of the first layer on grey pictures share: pictures of the batch in shared memory, each with a
// border of zeros, from the gathered x or, where the kernel opens the step itself, from the data set's bytes;
// and the values of a pooling window.
#pragma once

#include <type_traits>

#include "kernels/cuda/picture.hpp"
#include "kernels/cuda/step_opening.cuh"

namespace trainer::cuda {

// visit(i, number of the picture, y, column, whether that is inside) for pixel i of `count` pictures with
// their borders.
template <unsigned kThreads, typename Visit>
__device__ void for_pixels(const FirstConv& s, unsigned count, const Visit& visit) {
  const auto pixels = static_cast<unsigned>(s.ph * s.pw);
  for (unsigned i = threadIdx.x; i < count * pixels; i += kThreads) {
    const int at = static_cast<int>(i % pixels);
    const int y = at / s.pw - s.top;
    const int column = at % s.pw - s.left;
    visit(i, i / pixels, y, column, y >= 0 && y < s.h && column >= 0 && column < s.w);
  }
}

// `count` pictures from x on.
template <unsigned kThreads, typename T>
__device__ void load_pictures(const FirstConv& s, unsigned count, const T* x, float* pictures) {
  const auto size = static_cast<unsigned>(s.h * s.w);
  for_pixels<kThreads>(s, count, [&](unsigned i, unsigned picture, int y, int column, bool inside) {
    pictures[i] =
        inside ? static_cast<float>(x[picture * size + static_cast<unsigned>(y * s.w + column)]) : 0.0F;
  });
}

// Those of rows first ... first + count of the step, at most kMostTogether, and where the block `writes` to x
// too. All threads call it.
template <unsigned kThreads, typename T>
static __device__ void gather_pictures(const FirstConv& s, const GatherArgs& g, unsigned first,
                                       unsigned count, bool writes, float* pictures) {
  __shared__ OpenedRow rows[kMostTogether];
  if (threadIdx.x < count) rows[threadIdx.x] = open_row(g, first + threadIdx.x, writes);
  __syncthreads();
  const auto size = static_cast<unsigned>(s.h * s.w);
  T* x = static_cast<T*>(g.x) + std::size_t{first} * size;
  for_pixels<kThreads>(s, count, [&](unsigned i, unsigned picture, int y, int column, bool inside) {
    const T value = static_cast<T>(inside ? rows[picture].value(g, y, column) : 0.0F);
    pictures[i] = static_cast<float>(value);
    if (writes && inside) x[picture * size + static_cast<unsigned>(y * s.w + column)] = value;
  });
}

// The upper left pixel of window p, counted through the pictures in shared memory.
__device__ inline const float* window_corner(const FirstConv& s, const float* pictures, unsigned p) {
  const auto outputs = static_cast<unsigned>(s.rows * s.columns);
  const auto place = static_cast<int>(p % outputs);
  const auto picture = static_cast<int>(p / outputs);
  return pictures + (picture * s.ph + place / s.columns * s.stride) * s.pw + place % s.columns * s.stride;
}

// The values of one pooling window, from its upper left pixel: kPool x kPool of them.
template <int kEdge, int kPool>
__device__ void window_values(const float* pixel, int pitch, const float (&filter)[kEdge * kEdge],
                              float (&values)[kPool * kPool]) {
  constexpr int kSpan = kEdge + kPool - 1;
#pragma unroll
  for (int i = 0; i < kPool * kPool; ++i) values[i] = 0;
#pragma unroll
  for (int r = 0; r < kSpan; ++r, pixel += pitch) {
    float row[kSpan];
#pragma unroll
    for (int i = 0; i < kSpan; ++i) row[i] = pixel[i];
#pragma unroll
    for (int y = 0; y < kPool; ++y) {
      if (r < y || r - y >= kEdge) continue;
#pragma unroll
      for (int x = 0; x < kPool; ++x) {
#pragma unroll
        for (int k = 0; k < kEdge; ++k) values[y * kPool + x] += row[x + k] * filter[(r - y) * kEdge + k];
      }
    }
  }
}

// The largest of a window and its place, the first of equals; a NaN is larger than all.
struct Winner {
  float value;
  int place;
};

template <int kCount>
__device__ Winner largest_of(const float (&values)[kCount]) {
  Winner best{values[0], 0};
#pragma unroll
  for (int i = 1; i < kCount; ++i) {
    const bool wins = values[i] > best.value || (isnan(values[i]) && !isnan(best.value));
    best = wins ? Winner{values[i], i} : best;
  }
  return best;
}

// Calls visit(edge, pool) with the two as constants.
template <typename Visit>
void visit_window(const ConvDesc& conv, const Visit& visit) {
  const auto visit_pool = [&](auto edge) {
    if (conv.pool.size == 3) return visit(edge, std::integral_constant<int, 3>{});
    if (conv.pool.size == 2) return visit(edge, std::integral_constant<int, 2>{});
    visit(edge, std::integral_constant<int, 1>{});
  };
  if (conv.kernel == 5) return visit_pool(std::integral_constant<int, 5>{});
  visit_pool(std::integral_constant<int, 3>{});
}

}  // namespace trainer::cuda
