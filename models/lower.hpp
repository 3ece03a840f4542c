// The plan as a backend runs it. make_plan() has fused what every backend fuses; lower() fits the ops to one backend, in
// steps that each rewrite the list of ops:
//   1. pad    channels become multiples of Backend::channel_multiple()
//   2. fuse   a convolution or dense layer takes in the batch normalisation after it, where Backend::fuses() the two
//   3. agree  neighbours settle the contract of the map between them (kernels/map_contract.hpp)
// Layers, parameters, their names and their true shapes stay, so a checkpoint means the same on every backend.
#pragma once

#include <vector>

#include "kernels/backend.hpp"
#include "models/plan.hpp"

namespace trainer {

// The values of a parameter [outer, spatial, inner] within the parameter of a padded op. What lies in the padding is
// zero: weights, activations and gradients. It stays zero under every optimiser, since each term of an update has a
// factor of zero.
struct PaddedParameter {
  std::size_t outer = 1, spatial = 1, inner = 1;
  std::size_t padded_outer = 1, padded_inner = 1;

  std::size_t padded_count() const { return padded_outer * spatial * padded_inner; }
  std::vector<float> pad(const std::vector<float>& values) const;  // zeros between
  std::vector<float> unpad(const std::vector<float>& padded) const;
};

struct LoweredPlan {
  Plan plan;                                             // its ops are those that run, with true shapes
  std::vector<OpDesc> ops;                               // of plan.ops in their order: for Backend::prepare()
  std::vector<std::vector<PaddedParameter>> parameters;  // of each op
};

LoweredPlan lower(const Plan& plan, const Backend& backend);

// The first step. Outputs of convolutions and dense layers become multiples of `multiple`; the network's input and its
// classes stay. 1 changes nothing.
LoweredPlan pad_channels(const Plan& plan, int multiple);

}  // namespace trainer
