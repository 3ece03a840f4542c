// The start of a step: finds a row's image and writes its label; the first row also writes the number of valid rows and
// a loss of 0. The step's number is read on the device, so a replay takes the next images by itself.
#pragma once

#include "kernels/backend.hpp"

namespace trainer::cuda {

// The stored image of a row of the batch: the start of its pixels, and whether the row is valid.
struct OpenedRow {
  std::size_t first;
  bool shown;

  // The stored value of x in line `y` at offset `at` of w * c; that of some other image if the row is not valid.
  __device__ std::uint8_t stored(const GatherArgs& g, int y, int at) const {
    return g.images[first + static_cast<unsigned>(((g.top + y) * g.stored.w + g.left) * g.stored.c + at)];
  }
  // Converts a stored value to its value in x.
  __device__ static float value(const GatherArgs& g, std::uint8_t stored) {
    return static_cast<float>(stored) * g.scale + g.shift;
  }
};

// One thread of a block calls it for each row. Of the blocks that open a row, one `writes` its label and state.
__device__ inline OpenedRow open_row(const GatherArgs& g, unsigned row, bool writes) {
  const std::uint64_t step = g.state->step;
  const bool shown = row < valid_rows(g.batching, step);
  const std::uint32_t image = shown ? image_of(g.batching, g.state->seed, step, row).index : 0;
  if (writes) g.labels[row] = shown ? g.stored_labels[image] : std::uint8_t{0};
  if (writes && row == 0) open_step(g.batching, *g.state);
  const std::size_t pixels = static_cast<std::size_t>(g.stored.h) * g.stored.w * g.stored.c;
  return {image * pixels, shown};
}

}  // namespace trainer::cuda
