// The few numbers of a training run that stay on the device with the weights: a recorded step reads and
// advances them itself, so that a replay needs nothing from the host.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

constexpr std::uint64_t kNoBadStep = ~std::uint64_t{0};

struct StepState {
  std::uint64_t step = 0;                     // number of the step in progress, from 0
  std::uint64_t seed = 0;                     // the run's, for order and dropout
  std::uint32_t valid = 0;                    // rows of the batch that hold an image
  float batch_loss = 0;                       // sum over the valid rows of the step in progress
  double loss_sum = 0;                        // since the host last cleared them: the sum of losses,
  std::uint64_t correct = 0;                  //   the images whose largest logit is the label's,
  std::uint64_t images = 0;                   //   and the images seen
  std::uint64_t first_bad_step = kNoBadStep;  // its loss is not finite: parameters change no longer
  // If other ranks compute the rest of the batch (kernels/communicator.hpp):
  std::uint32_t others = 0;     // the rows of theirs that hold an image
  std::uint32_t first_row = 0;  // the place in the whole batch of this rank's first row

  void clear_sums() {
    loss_sum = 0;
    correct = images = 0;
  }
  HOST_DEVICE std::uint32_t valid_of_all() const { return valid + others; }
};

}  // namespace trainer
