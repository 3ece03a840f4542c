// Initial values of parameters, drawn on the host in the canonical layout: they are the same on every backend
// and do not depend on the shapes of other parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "models/plan.hpp"

namespace trainer {

// Returns desc.count() values. Value i is a pure function of (seed, index, i), where `index` numbers the
// network's parameters: word i % 4 of Philox4x32-10 with the key `seed` and the counter (i / 4, attempt, 0,
// 2^31 + index). The last word cannot collide with dropout, which numbers its streams from 1 under the same key.
std::vector<float> initial_values(const PlannedParameter& parameter, std::uint64_t seed, int index);

}  // namespace trainer
