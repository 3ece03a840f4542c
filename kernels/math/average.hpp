// The moving average of a network's numbers, with which tests are made: after each training step
//   average = d average + (1 - d) value,   d = min(decay, (1 + t) / (10 + t)),   t: steps done
// written so that an average that equals its value stays. d is that of TensorFlow's ExponentialMovingAverage with num_updates = t:
// while few steps are done it is small, so that the first values do not dominate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/division.hpp"
#include "kernels/math/step_state.hpp"

namespace trainer {

struct AverageArgs {
  float decay = 0;
  std::size_t count = 0;
  const float* values = nullptr;  // [count]
  float* averages = nullptr;
  void* cast = nullptr;              // a copy of the averages as Backend::element(); null if there is none
  const StepState* state = nullptr;  // after the step; with a bad step nothing changes

  HOST_DEVICE bool moves() const { return state->first_bad_step == kNoBadStep; }
  HOST_DEVICE float step_decay() const {
    const std::uint64_t t = state->step;
    const float warm_up = exact_quotient(static_cast<float>(1 + t), static_cast<float>(10 + t));
    return warm_up < decay ? warm_up : decay;
  }
};

HOST_DEVICE float moved_average(float d, float average, float value) {
  return value + d * (average - value);
}

}  // namespace trainer
