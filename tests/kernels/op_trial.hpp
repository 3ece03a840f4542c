// Runs one op once on a backend and checks every promise of the op contract: outputs and scratch are poisoned before,
// inputs and guard bands are checked after.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/reference/reference.hpp"

namespace trainer {

struct OpResult {
  std::vector<float> y;
  std::vector<float> dx;                      // empty if it was not wanted
  std::vector<std::vector<float>> gradients;  // canonical
  std::vector<std::vector<float>> running;    // canonical; batch normalisation's
  StepState state;
  std::vector<std::uint8_t> kept;   // as the head wrote it, or as it was given to the op
  std::vector<std::string> faults;  // broken promises, a sentence each

  bool same_bits(const OpResult& other) const;
};

// What the head's sums hold before the trial, to check that it adds to them.
constexpr float kBatchLossBefore = 0.25F;
constexpr double kLossSumBefore = 10;
constexpr std::uint64_t kCorrectBefore = 3;
constexpr std::uint64_t kImagesBefore = 5;

// Runs forward and, in training, backward on t's inputs. For rows that t.kept excludes from backward, an op that
// reads_selected_rows() finds NaN in dy; with `selected_only`, it need not write their dx, which is reported as 0.
OpResult run_op(Backend& backend, const OpDesc& desc, const reference::Tensors& t, bool wants_dx,
                bool selected_only = false);

}  // namespace trainer
