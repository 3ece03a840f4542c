// One op run once on a backend, with every promise of the op contract watched on the way: outputs and scratch
// are poisoned before, inputs and guard bands are looked at after.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/reference/reference.hpp"

namespace trainer {

struct OpResult {
  std::vector<float> y;
  std::vector<float> dx;                      // empty where it was not wanted
  std::vector<std::vector<float>> gradients;  // canonical
  std::vector<std::vector<float>> running;    // canonical; batch normalisation's
  StepState state;
  std::vector<std::uint8_t> kept;   // as the head wrote it, or as the op was given it
  std::vector<std::string> faults;  // broken promises, a sentence each

  bool same_bits(const OpResult& other) const;
};

// What the head's sums hold before the trial, so that it is seen to add.
constexpr float kBatchLossBefore = 0.25F;
constexpr double kLossSumBefore = 10;
constexpr std::uint64_t kCorrectBefore = 3;
constexpr std::uint64_t kImagesBefore = 5;

// forward, and in training backward, of t's inputs. Where t.kept says that not all rows are backpropagated,
// an op that reads_selected_rows() finds NaN in their dy; where `selected_only`, it need not write their dx, which is given
// as 0.
OpResult run_op(Backend& backend, const OpDesc& desc, const reference::Tensors& t, bool wants_dx,
                bool selected_only = false);

}  // namespace trainer
