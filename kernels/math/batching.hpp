// Which image row i of a step holds: a pure function of the step number, so that nothing about the order of the
// data is ever copied to a device or saved in a checkpoint. An epoch has `images` positions; order.hpp maps a
// position to an image by a permutation seeded with (seed, epoch). The seed comes from StepState, so that one
// recording serves every seed.
#pragma once

#include <cstdint>

#include "kernels/math/division.hpp"
#include "kernels/math/order.hpp"
#include "kernels/math/step_state.hpp"

namespace trainer {

enum class Order : std::uint8_t { fixed, shuffled };

// What happens to a batch at the end of the data: its remaining rows stay empty (mask), it is left out (drop),
// or it continues with the next epoch's order (wrap).
enum class LastBatch : std::uint8_t { mask, drop, wrap };

struct Batching {
  std::uint32_t images = 0;  // per epoch
  std::uint32_t first = 0;   // an epoch covers images first .. first + images - 1 of the stored split
  std::uint32_t batch = 0;   // rows of a step
  Order order = Order::fixed;
  LastBatch last_batch = LastBatch::mask;
  // One of several ranks (kernels/communicator.hpp) computes the rows first_row .. first_row + own_rows - 1 of a batch of all_rows;
  // its own `batch` may be larger than own_rows. all_rows = 0: it computes them all.
  std::uint32_t all_rows = 0;
  std::uint32_t first_row = 0;
  std::uint32_t own_rows = 0;
};

// The rows of a step on all ranks together.
HOST_DEVICE std::uint32_t rows_of_all(const Batching& b) {
  return b.all_rows > 0 ? b.all_rows : b.batch;
}

// Steps per epoch for mask and drop; with wrap an epoch has no whole number of steps (see epoch_of).
HOST_DEVICE std::uint64_t steps_per_epoch(const Batching& b) {
  const std::uint32_t rows = rows_of_all(b);
  return exact_quotient(b.last_batch == LastBatch::drop ? b.images : b.images + rows - 1, rows);
}

// The number of rows of step `step` that hold an image, on all ranks.
HOST_DEVICE std::uint32_t valid_rows_of_all(const Batching& b, std::uint64_t step) {
  const std::uint32_t rows = rows_of_all(b);
  if (b.last_batch != LastBatch::mask) return rows;
  const std::uint64_t start = remainder_of(step, steps_per_epoch(b)) * rows;
  const std::uint64_t left = b.images - start;
  return left < rows ? static_cast<std::uint32_t>(left) : rows;
}

// The number of this rank's rows of step `step` that hold an image.
HOST_DEVICE std::uint32_t valid_rows(const Batching& b, std::uint64_t step) {
  const std::uint32_t valid = valid_rows_of_all(b, step);
  if (b.all_rows == 0) return valid;
  const std::uint32_t behind = valid > b.first_row ? valid - b.first_row : 0;
  return behind < b.own_rows ? behind : b.own_rows;
}

// Opens a step: which rows it has, and no loss yet.
HOST_DEVICE void open_step(const Batching& b, StepState& state) {
  state.valid = valid_rows(b, state.step);
  state.others = b.all_rows == 0 ? 0 : valid_rows_of_all(b, state.step) - state.valid;
  state.first_row = b.first_row;
  state.batch_loss = 0;
}

// The number of epochs completed before the first image of step `step`.
HOST_DEVICE std::uint64_t epoch_of(const Batching& b, std::uint64_t step) {
  return b.last_batch == LastBatch::wrap ? exact_quotient(step * rows_of_all(b), std::uint64_t{b.images})
                                         : exact_quotient(step, steps_per_epoch(b));
}

// The number of images in all steps before `step`, on all ranks.
HOST_DEVICE std::uint64_t images_before(const Batching& b, std::uint64_t step) {
  if (b.last_batch == LastBatch::mask)
    return exact_quotient(step, steps_per_epoch(b)) * b.images +
           remainder_of(step, steps_per_epoch(b)) * rows_of_all(b);
  return step * rows_of_all(b);
}

struct ShownImage {
  std::uint32_t index = 0;  // its number among the stored images
  std::uint64_t epoch = 0;  // the epoch that shows it
};

// The image in this rank's row `row` (< valid_rows) of step `step` under `seed`.
HOST_DEVICE ShownImage image_of(const Batching& b, std::uint64_t seed, std::uint64_t step,
                                std::uint32_t row) {
  const std::uint64_t place = b.first_row + row;
  std::uint64_t epoch = 0, position = 0;
  if (b.last_batch == LastBatch::wrap) {
    const std::uint64_t global = step * rows_of_all(b) + place;
    epoch = exact_quotient(global, std::uint64_t{b.images});
    position = remainder_of(global, b.images);
  } else {
    epoch = exact_quotient(step, steps_per_epoch(b));
    position = remainder_of(step, steps_per_epoch(b)) * rows_of_all(b) + place;
  }
  const auto p = static_cast<std::uint32_t>(position);
  return {b.first + (b.order == Order::fixed ? p : permuted(p, b.images, seed, epoch)), epoch};
}

}  // namespace trainer
