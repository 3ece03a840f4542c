// Which images of a batch are backpropagated. If a recipe selects, then after a first fraction of the steps only
// the hardest images are: those with the largest cross-entropy without label smoothing, ties going to the first
// row. The device makes the choice, from the step's number; every engine orders images by hardness_key().
#pragma once

#include <cstdint>

#include "kernels/math/division.hpp"

namespace trainer {

struct Selection {
  double fraction = 1;  // the fraction of a batch's images to select; 1: all, in every step
  double from = 0;      // the fraction of the run's steps, at its start, that select all images
  HOST_DEVICE bool selects() const { return fraction < 1; }
  bool operator==(const Selection&) const = default;
};

// How many of the `valid` rows of step `step` of `steps` are selected: all while step < from * steps, then
// `fraction` of them, rounded down but at least one.
HOST_DEVICE std::uint32_t selected_rows(const Selection& s, std::uint64_t step, std::uint64_t steps,
                                        std::uint32_t valid) {
  if (!s.selects() || exact_quotient(static_cast<double>(step), static_cast<double>(steps)) < s.from)
    return valid;
  const auto kept = static_cast<std::uint32_t>(s.fraction * valid);
  return kept > 0 || valid == 0 ? kept : 1;
}

// The key is smaller for a larger loss and, among equal losses, for the earlier row: the selected rows are those with
// the smallest keys. A loss is not negative, so its bits sort like its value; a NaN counts as the hardest.
HOST_DEVICE std::uint64_t hardness_key(float loss, std::uint32_t row) {
  const float positive = loss > 0 || loss != loss ? loss : 0.0F;  // rounding may leave a little less than 0
  return std::uint64_t{~__builtin_bit_cast(std::uint32_t, positive)} << 32U | row;
}

}  // namespace trainer
