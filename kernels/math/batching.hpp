// Which image a step's row i is: a pure function of the step number, so that nothing about the order of the
// data is ever copied to a device or saved in a checkpoint. A pass over the data is one epoch of `images`
// positions; `order.hpp` maps a position to an image by a permutation seeded with (seed, epoch). The seed is
// the step's own (StepState), so that a recording serves every one.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"
#include "kernels/math/order.hpp"

namespace trainer {

enum class Order : std::uint8_t { fixed, shuffled };

// What a batch does at the end of the data: stop short (mask), leave the rest out (drop), or go on into the
// next pass's order (wrap).
enum class LastBatch : std::uint8_t { mask, drop, wrap };

struct Batching {
  std::uint32_t images = 0;  // of a pass
  std::uint32_t first = 0;   // the pass covers images first .. first + images - 1 of the stored split
  std::uint32_t batch = 0;
  Order order = Order::fixed;
  LastBatch last_batch = LastBatch::mask;
};

// Steps of one pass for mask and drop; for wrap a pass has no whole number of steps (see pass_of).
HOST_DEVICE std::uint64_t steps_per_pass(const Batching& b) {
  return b.last_batch == LastBatch::drop ? b.images / b.batch : (b.images + b.batch - 1) / b.batch;
}

// Rows of step `step` that hold an image.
HOST_DEVICE std::uint32_t valid_rows(const Batching& b, std::uint64_t step) {
  if (b.last_batch != LastBatch::mask) return b.batch;
  const std::uint64_t start = step % steps_per_pass(b) * b.batch;
  const std::uint64_t left = b.images - start;
  return left < b.batch ? static_cast<std::uint32_t>(left) : b.batch;
}

// Full passes behind the first image of step `step`.
HOST_DEVICE std::uint64_t pass_of(const Batching& b, std::uint64_t step) {
  return b.last_batch == LastBatch::wrap ? step * b.batch / b.images : step / steps_per_pass(b);
}

// Images seen by all steps before `step`.
HOST_DEVICE std::uint64_t images_before(const Batching& b, std::uint64_t step) {
  if (b.last_batch == LastBatch::mask) {
    return step / steps_per_pass(b) * b.images + step % steps_per_pass(b) * b.batch;
  }
  return step * b.batch;
}

// The stored image that row `row` (< valid_rows) of step `step` shows under `seed`.
HOST_DEVICE std::uint32_t image_of(const Batching& b, std::uint64_t seed, std::uint64_t step,
                                   std::uint32_t row) {
  std::uint64_t pass = 0;
  std::uint64_t position = 0;
  if (b.last_batch == LastBatch::wrap) {
    const std::uint64_t global = step * b.batch + row;
    pass = global / b.images;
    position = global % b.images;
  } else {
    pass = step / steps_per_pass(b);
    position = step % steps_per_pass(b) * b.batch + row;
  }
  const auto p = static_cast<std::uint32_t>(position);
  return b.first + (b.order == Order::fixed ? p : permuted(p, b.images, seed, pass));
}

}  // namespace trainer
