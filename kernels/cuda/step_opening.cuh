// What opens a step: a row's image and label, and by the first row the step's valid rows and its loss, set
// back. The step's number comes from the device, so a replay shows the next images by itself.
#pragma once

#include "kernels/backend.hpp"

namespace trainer::cuda {

// The stored image that a row of the batch shows; null for a row past the valid ones.
struct OpenedRow {
  const std::uint8_t* pixels;

  // Of the piece that is x: its line `y`, and of that line value `at` of w * c.
  __device__ float value(const GatherArgs& g, int y, int at) const {
    const int stored = (g.top + y) * g.stored.w * g.stored.c + g.left * g.stored.c + at;
    return pixels != nullptr ? static_cast<float>(pixels[stored]) * g.scale + g.shift : 0.0F;
  }
};

// By one thread a row. One that does not write leaves label and state to another one of its row.
__device__ inline OpenedRow open_row(const GatherArgs& g, unsigned row, bool writes) {
  const std::uint64_t step = g.state->step;
  const std::uint32_t valid = valid_rows(g.batching, step);
  const bool shown = row < valid;
  const std::uint32_t image = shown ? image_of(g.batching, g.state->seed, step, row) : 0;
  if (writes) g.labels[row] = shown ? g.stored_labels[image] : std::uint8_t{0};
  if (writes && row == 0) {
    g.state->valid = valid;
    g.state->batch_loss = 0;
  }
  const std::size_t pixels = static_cast<std::size_t>(g.stored.h) * g.stored.w * g.stored.c;
  return {shown ? g.images + image * pixels : nullptr};
}

}  // namespace trainer::cuda
