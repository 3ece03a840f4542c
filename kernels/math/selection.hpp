// Which images of a batch are backpropagated. Where a recipe selects, from a fraction of the steps on only the
// hardest images are: those of the largest cross-entropy without label smoothing, of equal ones the first.
// The choice is made where the step runs, from the step's number; every engine orders images by
// hardness_key().
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

struct Selection {
  double fraction = 1;  // of a batch's selected images; 1: all, in every step
  double from = 0;      // fraction of the run's steps that keep all first
  HOST_DEVICE bool selects() const { return fraction < 1; }
  bool operator==(const Selection&) const = default;
};

// How many of the `valid` rows of step `step` of `steps` are kept: from the step on that is not before
// from * steps the fraction of them, rounded down, one at least.
HOST_DEVICE std::uint32_t selected_rows(const Selection& s, std::uint64_t step, std::uint64_t steps,
                                        std::uint32_t valid) {
  if (!s.selects() || static_cast<double>(step) / static_cast<double>(steps) < s.from) return valid;
  const auto kept = static_cast<std::uint32_t>(s.fraction * valid);
  return kept > 0 || valid == 0 ? kept : 1;
}

// Smaller for a larger loss, and of equal losses for the row that comes first: the selected rows are those of the
// smallest keys. A loss is not negative, so that its bits are in its order; a NaN is the hardest.
HOST_DEVICE std::uint64_t hardness_key(float loss, std::uint32_t row) {
  const float positive = loss > 0 || loss != loss ? loss : 0.0F;  // rounding may leave a little less than 0
  return std::uint64_t{~__builtin_bit_cast(std::uint32_t, positive)} << 32U | row;
}

}  // namespace trainer
