// Starting values of parameters, drawn on the host in the canonical layout: the same on every backend, and
// for one parameter whatever stands before or after it in the network.
#pragma once

#include <cstdint>
#include <vector>

#include "models/plan.hpp"

namespace trainer {

// desc.count() values. Value i is a pure function of (seed, index, i), `index` counting the network's
// parameters: word i % 4 of Philox4x32-10 under the key `seed` at the counter (i / 4, attempt, 0, 2^31 +
// index). The last word keeps clear of dropout, which counts its streams from 1 under the same key.
std::vector<float> initial_values(const PlannedParameter& parameter, std::uint64_t seed, int index);

}  // namespace trainer
