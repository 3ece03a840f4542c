// A step's state with a different number in every field, and the look at those that a call must leave alone.
#pragma once

#include <gtest/gtest.h>

#include "kernels/math/step_state.hpp"

namespace trainer {

inline StepState state_at(std::uint64_t step, std::uint64_t seed = 5) {
  StepState state;
  state.step = step;
  state.seed = seed;
  state.valid = 12345;
  state.batch_loss = 7;
  state.loss_sum = 11;
  state.correct = 13;
  state.images = 17;
  return state;
}

// Everything but step, valid, batch_loss and first_bad_step, which opening or closing a step sets.
inline void expect_sums_kept(const StepState& got, std::uint64_t seed = 5) {
  EXPECT_EQ(got.seed, seed);
  EXPECT_EQ(got.loss_sum, 11);
  EXPECT_EQ(got.correct, 13U);
  EXPECT_EQ(got.images, 17U);
}

}  // namespace trainer
