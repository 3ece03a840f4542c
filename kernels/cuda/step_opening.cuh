// What opens a step: a row's image and label, and by the first row the step's valid rows and its loss, set
// back. The step's number comes from the device, so a replay shows the next images by itself.
#pragma once

#include "kernels/backend.hpp"

namespace trainer::cuda {

// The stored image that a row of the batch shows; a row past the valid ones shows none.
struct OpenedRow {
  const std::uint8_t* pixels;
  bool shown;

  // Of the piece that is x: its line `y`, and of that line value `at` of w * c.
  __device__ float value(const GatherArgs& g, int y, int at) const {
    const int stored = (g.top + y) * g.stored.w * g.stored.c + g.left * g.stored.c + at;
    return shown ? static_cast<float>(pixels[stored]) * g.scale + g.shift : 0.0F;
  }
};

// For every thread of a block, which must all call it. A block that does not write leaves label and state to
// another one of its row.
[[maybe_unused]] static __device__ OpenedRow open_row(const GatherArgs& g, unsigned row, bool writes) {
  __shared__ std::uint32_t image;
  __shared__ bool shown;
  if (threadIdx.x == 0) {
    const std::uint64_t step = g.state->step;
    const std::uint32_t valid = valid_rows(g.batching, step);
    shown = row < valid;
    image = shown ? image_of(g.batching, g.state->seed, step, row) : 0;
    if (writes) g.labels[row] = shown ? g.stored_labels[image] : std::uint8_t{0};
    if (writes && row == 0) {
      g.state->valid = valid;
      g.state->batch_loss = 0;
    }
  }
  __syncthreads();
  const std::size_t pixels = static_cast<std::size_t>(g.stored.h) * g.stored.w * g.stored.c;
  return {g.images + image * pixels, shown};
}

}  // namespace trainer::cuda
