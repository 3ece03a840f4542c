// Channels padded to a multiple, where a backend's tensor cores want it: the plan that runs has wider ops
// than the one that the user sees. What lies in the padding is zero: weights, activations and gradients, and
// it stays zero under every optimiser, since each of its terms has a factor of zero.
#pragma once

#include <vector>

#include "models/plan.hpp"

namespace trainer {

// The values of a parameter [outer, spatial, inner] within the parameter of a padded op.
struct PaddedParameter {
  std::size_t outer = 1, spatial = 1, inner = 1;
  std::size_t padded_outer = 1, padded_inner = 1;

  std::size_t padded_count() const { return padded_outer * spatial * padded_inner; }
  std::vector<float> pad(const std::vector<float>& values) const;  // zeros between
  std::vector<float> unpad(const std::vector<float>& padded) const;
};

struct PaddedPlan {
  std::vector<OpDesc> ops;                               // of Plan::ops, in their order
  std::vector<std::vector<PaddedParameter>> parameters;  // of each op
};

// Outputs of convolutions and dense layers become multiples of `multiple`; the network's input and its
// classes stay. 1 changes nothing.
PaddedPlan pad_channels(const Plan& plan, int multiple);

}  // namespace trainer
