// One grey picture of the batch in shared memory, with a border of zeros: from the gathered x, or from the
// data set's bytes by a kernel that opens the step itself.
#pragma once

#include "kernels/backend.hpp"

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

[[maybe_unused]] static __device__ void load_picture(const FirstConv& s, const float* x, float* picture) {
  const int pixels = s.ph * s.pw;
  for (int i = static_cast<int>(threadIdx.x); i < pixels; i += kPictureThreads) {
    const int y = i / s.pw - s.top;
    const int column = i % s.pw - s.left;
    const bool inside = y >= 0 && y < s.h && column >= 0 && column < s.w;
    picture[i] = inside ? x[y * s.w + column] : 0.0F;
  }
}

// The step's image of this block, from the stored bytes into shared memory, and by the blocks of the first
// band to x.
[[maybe_unused]] static __device__ void gather_picture(const FirstConv& s, const GatherArgs& g, unsigned row,
                                                       bool writes, float* picture) {
  __shared__ std::uint32_t image;
  __shared__ bool shown;
  if (threadIdx.x == 0) {
    const std::uint64_t step = g.state->step;
    const std::uint32_t valid = valid_rows(g.batching, step);
    shown = row < valid;
    image = shown ? image_of(g.batching, step, row) : 0;
    if (writes) g.labels[row] = shown ? g.stored_labels[image] : std::uint8_t{0};
    if (writes && row == 0) {
      g.state->valid = valid;
      g.state->batch_loss = 0;
    }
  }
  __syncthreads();
  const auto pixels = static_cast<unsigned>(s.h * s.w);
  const std::uint8_t* from = g.images + std::size_t{image} * pixels;
  float* x = g.x + std::size_t{row} * pixels;
  for (int i = static_cast<int>(threadIdx.x); i < s.ph * s.pw; i += kPictureThreads) {
    const int y = i / s.pw - s.top;
    const int column = i % s.pw - s.left;
    const bool inside = y >= 0 && y < s.h && column >= 0 && column < s.w;
    const int at = y * s.w + column;
    const float value = inside && shown ? static_cast<float>(from[at]) * g.scale + g.shift : 0.0F;
    picture[i] = value;
    if (writes && inside) x[at] = value;
  }
}

}  // namespace trainer::cuda
