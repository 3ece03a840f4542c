// The start of a step: a row's image and label, and by the first row the number of valid rows and a loss of 0. The step's
// number comes from the device, so a replay takes the next images by itself.
#pragma once

#include "kernels/backend.hpp"

namespace trainer::cuda {

// The stored image of a row of the batch: where its pixels begin, and whether the row is valid.
struct OpenedRow {
  std::size_t first;
  bool shown;

  // The stored value of x in its line `y` at place `at` of w * c; of some image where the row is not valid.
  __device__ std::uint8_t stored(const GatherArgs& g, int y, int at) const {
    return g.images[first + static_cast<unsigned>(((g.top + y) * g.stored.w + g.left) * g.stored.c + at)];
  }
  // The value in x of what is stored.
  __device__ static float value(const GatherArgs& g, std::uint8_t stored) {
    return static_cast<float>(stored) * g.scale + g.shift;
  }
};

// One thread calls it for each row. A thread that does not write leaves label and state to another one of its row.
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
  return {image * pixels, shown};
}

}  // namespace trainer::cuda
