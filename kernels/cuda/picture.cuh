// One grey picture of the batch in shared memory, with a border of zeros: from the gathered x, or from the
// data set's bytes by a kernel that opens the step itself.
#pragma once

#include "kernels/cuda/step_opening.cuh"

namespace trainer::cuda {

constexpr unsigned kPictureThreads = 256;
constexpr unsigned kMostPixels = 4096;  // of a picture with its border

struct FirstConv {
  unsigned batch = 1;
  int h = 1, w = 1;           // of the picture
  int top = 0, left = 0;      // border
  int ph = 1, pw = 1;         // of the picture with its border
  int rows = 1, columns = 1;  // of y
  int stride = 1;             // of the pool; 1 without one
  unsigned channels = 1;
  bool relu = false;
};

template <typename T>
__device__ void load_picture(const FirstConv& s, const T* x, float* picture) {
  const int pixels = s.ph * s.pw;
  for (int i = static_cast<int>(threadIdx.x); i < pixels; i += kPictureThreads) {
    const int y = i / s.pw - s.top;
    const int column = i % s.pw - s.left;
    const bool inside = y >= 0 && y < s.h && column >= 0 && column < s.w;
    picture[i] = inside ? static_cast<float>(x[y * s.w + column]) : 0.0F;
  }
}

// The step's image of this block, from the stored bytes into shared memory, and by the blocks of the first
// band to x.
template <typename T>
__device__ void gather_picture(const FirstConv& s, const GatherArgs& g, unsigned row, bool writes,
                               float* picture) {
  const OpenedRow opened = open_row(g, row, writes);
  T* x = static_cast<T*>(g.x) + std::size_t{row} * static_cast<unsigned>(s.h * s.w);
  for (int i = static_cast<int>(threadIdx.x); i < s.ph * s.pw; i += kPictureThreads) {
    const int y = i / s.pw - s.top;
    const int column = i % s.pw - s.left;
    const bool inside = y >= 0 && y < s.h && column >= 0 && column < s.w;
    const T value = static_cast<T>(inside ? opened.value(g, y, column) : 0.0F);
    picture[i] = static_cast<float>(value);
    if (writes && inside) x[y * s.w + column] = value;
  }
}

}  // namespace trainer::cuda
