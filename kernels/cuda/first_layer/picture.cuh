// What the kernels of a first layer on grey images share: they load images of the batch into shared memory, each with a
// border of zeros, from the gathered x or, if the kernel opens the step itself, from the data set's bytes, and compute
// the values of a pooling window.
#pragma once

#include <type_traits>

#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/step_opening.cuh"
#include "kernels/math/divider.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

constexpr unsigned kMostPixels = 4096;  // pixels of an image with its border
constexpr unsigned kMostTogether = 16;  // images that a block has in shared memory at a time

// A convolution that is_one_channel_conv() accepts.
struct FirstConv {
  FirstConv(const ConvDesc& d, int images)
      : batch(static_cast<unsigned>(images)),
        h(d.in.h),
        w(d.in.w),
        top(d.pad.top),
        left(d.pad.left),
        pw(d.in.w + d.pad.left + d.pad.right),
        stride(static_cast<unsigned>(d.pool ? d.pool.stride : 1)),
        channels(static_cast<unsigned>(d.out)),
        relu(d.relu),
        by_pixels(static_cast<unsigned>((d.in.h + d.pad.top + d.pad.bottom) * pw)),
        by_pw(static_cast<unsigned>(pw)),
        by_outputs(static_cast<unsigned>(out_shape(d).h * out_shape(d).w)),
        by_columns(static_cast<unsigned>(out_shape(d).w)) {}

  unsigned batch;
  int h, w;         // the image's
  int top, left;    // its border
  int pw;           // its width with the border
  unsigned stride;  // the pool's; 1 without a pool
  unsigned channels;
  bool relu;
  Divider by_pixels;  // pixels of an image with its border
  Divider by_pw;
  Divider by_outputs, by_columns;  // of y

  HOST_DEVICE unsigned pixels() const { return by_pixels.by(); }
  HOST_DEVICE unsigned outputs() const { return by_outputs.by(); }
};

// w and dw are [channels, k, k]; y, argmax and dy are [n, rows, columns, channels].
template <typename T>
struct FirstLayerArgs : MapArgs<T> {
  explicit FirstLayerArgs(const OpArgs& args) : MapArgs<T>(args), gathers(args.gather != nullptr) {
    if (gathers) gather = *args.gather;
  }
  GatherArgs gather;  // if `gathers`, forward writes x and the rest as Backend::gather would
  bool gathers;
  std::uint8_t* argmax = nullptr;
};

constexpr unsigned kPixelsAtOnce = 4;  // for each thread

// Pixel i of images with their borders.
struct Pixel {
  unsigned picture;
  int y, column;
  bool inside;

  __device__ Pixel(const FirstConv& s, unsigned i) : picture(s.by_pixels.quotient(i)) {
    const unsigned at = i - picture * s.pixels();
    const unsigned row = s.by_pw.quotient(at);
    y = static_cast<int>(row) - s.top;
    column = static_cast<int>(at - row * s.by_pw.by()) - s.left;
    inside = y >= 0 && y < s.h && column >= 0 && column < s.w;
  }

  // The pixel's index in images without borders.
  __device__ unsigned place(const FirstConv& s) const {
    return (picture * static_cast<unsigned>(s.h) + static_cast<unsigned>(y)) * static_cast<unsigned>(s.w) +
           static_cast<unsigned>(column);
  }
};

// Loads `count` images, beginning at x.
template <unsigned kThreads, typename T>
__device__ void load_pictures(const FirstConv& s, unsigned count, const T* x, float* pictures) {
  const auto load = [&](unsigned i) {
    const Pixel pixel(s, i);
    return pixel.inside ? static_cast<float>(x[pixel.place(s)]) : 0.0F;
  };
  const auto use = [&](unsigned i, float value) { pictures[i] = value; };
  for_strided<kPixelsAtOnce>(threadIdx.x, count * s.pixels(), kThreads, load, use);  // loads in a row: 4
}

struct OpenedPixel {
  std::uint8_t stored;
  bool shown, written;
  unsigned place;
};

// Loads the images of rows first ... first + count of the step, at most kMostTogether; a block that `writes` also
// stores them in x. All threads call it.
template <unsigned kThreads, typename T>
static __device__ void gather_pictures(const FirstConv& s, const GatherArgs& g, unsigned first,
                                       unsigned count, bool writes, float* pictures) {
  __shared__ OpenedRow rows[kMostTogether];
  if (threadIdx.x < count) rows[threadIdx.x] = open_row(g, first + threadIdx.x, writes);
  __syncthreads();
  T* x = static_cast<T*>(g.x) + std::size_t{first} * static_cast<unsigned>(s.h * s.w);
  const auto load = [&](unsigned i) {
    const Pixel pixel(s, i);  // outside, the first pixel is read instead: no branch separates the loads
    const OpenedRow& row = rows[pixel.picture];
    const std::uint8_t stored = row.stored(g, pixel.inside ? pixel.y : 0, pixel.inside ? pixel.column : 0);
    return OpenedPixel{stored, pixel.inside && row.shown, pixel.inside && writes, pixel.place(s)};
  };
  const auto use = [&](unsigned i, const OpenedPixel& pixel) {
    const T value = static_cast<T>(pixel.shown ? OpenedRow::value(g, pixel.stored) : 0.0F);
    pictures[i] = static_cast<float>(value);
    if (pixel.written) x[pixel.place] = value;
  };
  for_strided<kPixelsAtOnce>(threadIdx.x, count * s.pixels(), kThreads, load, use);  // loads in a row: 4
}

// Loads `count` images of the batch from number `first` on, in forward.
template <unsigned kThreads, typename T>
__device__ void open_pictures(const FirstConv& s, const FirstLayerArgs<T>& a, unsigned first, unsigned count,
                              bool writes, float* pictures) {
  if (a.gathers) {
    gather_pictures<kThreads, T>(s, a.gather, first, count, writes, pictures);
  } else {
    load_pictures<kThreads>(s, count, a.x + std::size_t{first} * static_cast<unsigned>(s.h * s.w), pictures);
  }
}

// The filter of channel c.
template <int kKernel>
__device__ void load_filter(const float* w, unsigned c, float (&filter)[kKernel * kKernel]) {
#pragma unroll
  for (unsigned k = 0; k < kKernel * kKernel; ++k) filter[k] = w[c * (kKernel * kKernel) + k];
}

// The upper left pixel of window p, counted through the images in shared memory.
__device__ inline const float* window_corner(const FirstConv& s, const float* pictures, unsigned p) {
  const unsigned picture = s.by_outputs.quotient(p);
  const unsigned place = p - picture * s.outputs();
  const unsigned row = s.by_columns.quotient(place);
  const unsigned column = place - row * s.by_columns.by();
  return pictures + picture * s.pixels() + row * s.stride * s.by_pw.by() + column * s.stride;
}

// The values of one pooling window, from its upper left pixel: kPool x kPool of them.
template <int kKernel, int kPool>
__device__ void window_values(const float* pixel, int pitch, const float (&filter)[kKernel * kKernel],
                              float (&values)[kPool * kPool]) {
  constexpr int kSpan = kKernel + kPool - 1;
#pragma unroll
  for (int i = 0; i < kPool * kPool; ++i) values[i] = 0;
#pragma unroll
  for (int r = 0; r < kSpan; ++r, pixel += pitch) {
    float row[kSpan];
#pragma unroll
    for (int i = 0; i < kSpan; ++i) row[i] = pixel[i];
#pragma unroll
    for (int y = 0; y < kPool; ++y) {
      if (r < y || r - y >= kKernel) continue;
#pragma unroll
      for (int x = 0; x < kPool; ++x) {
#pragma unroll
        for (int k = 0; k < kKernel; ++k) values[y * kPool + x] += row[x + k] * filter[(r - y) * kKernel + k];
      }
    }
  }
}

// The largest value of a window and its place, the first of equal ones; NaN counts as the largest.
struct Largest {
  float value;
  int place;
};

template <int kCount>
__device__ Largest largest_of(const float (&values)[kCount]) {
  Largest best{values[0], 0};
#pragma unroll
  for (int i = 1; i < kCount; ++i) {
    const bool larger = values[i] > best.value || (isnan(values[i]) && !isnan(best.value));
    best = larger ? Largest{values[i], i} : best;
  }
  return best;
}

// Calls visit(kernel size, pool size) with both as constants. Only these sizes have kernels.
inline bool has_window(const ConvDesc& conv) {
  return (conv.kernel == 3 || conv.kernel == 5) && conv.pool.size <= 3;
}
template <typename Visit>
void visit_window(const ConvDesc& conv, const Visit& visit) {
  const auto visit_pool = [&](auto kernel) {
    if (conv.pool.size == 3) return visit(kernel, std::integral_constant<int, 3>{});
    if (conv.pool.size == 2) return visit(kernel, std::integral_constant<int, 2>{});
    visit(kernel, std::integral_constant<int, 1>{});
  };
  if (conv.kernel == 5) return visit_pool(std::integral_constant<int, 5>{});
  visit_pool(std::integral_constant<int, 3>{});
}

}  // namespace trainer::cuda
