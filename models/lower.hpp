// The plan as a backend runs it. make_plan() has fused what every backend fuses; lower() adapts the ops to one backend, in
// steps that each rewrite the list of ops:
//   1. pad    channels become multiples of Backend::channel_multiple()
//   2. fuse   a convolution or dense layer absorbs the batch normalisation after it if Backend::fuses() the two
//   3. agree  neighbours get the contract for the map between them (kernels/map_contract.hpp)
// Layers, parameters, their names and their true shapes do not change, so a checkpoint means the same on every backend.
#pragma once

#include <vector>

#include "kernels/backend.hpp"
#include "models/plan.hpp"

namespace trainer {

// The values of a parameter [outer, spatial, inner] within the parameter of a padded op. In the padding, weights, activations
// and gradients are zero, and stay zero under every optimiser, since each term of an update has a factor of zero.
struct PaddedParameter {
  std::size_t outer = 1, spatial = 1, inner = 1;
  std::size_t padded_outer = 1, padded_inner = 1;

  std::size_t padded_count() const { return padded_outer * spatial * padded_inner; }
  std::vector<float> pad(const std::vector<float>& values) const;  // fills the padding with zeros
  std::vector<float> unpad(const std::vector<float>& padded) const;
};

struct LoweredPlan {
  Plan plan;                                             // its ops are those that run, with true shapes
  std::vector<OpDesc> ops;                               // plan.ops with padding, for Backend::prepare()
  std::vector<std::vector<PaddedParameter>> parameters;  // [op][parameter]
};

LoweredPlan lower(const Plan& plan, const Backend& backend);

// The first step: the outputs of convolutions and dense layers become multiples of `multiple`; the network's input and
// its classes do not change. With 1, nothing does.
LoweredPlan pad_channels(const Plan& plan, int multiple);

}  // namespace trainer
