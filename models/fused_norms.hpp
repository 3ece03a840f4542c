// The plan as a backend runs it: convolutions and dense layers take in the batch normalisation behind them
// where the backend fuses() the two. Layers, parameters and their names stay as they are.
#pragma once

#include "kernels/backend.hpp"
#include "models/plan.hpp"

namespace trainer {

Plan fuse_norms(const Plan& plan, const Backend& backend);

}  // namespace trainer
