// The course of trainings as plots. One run shows its data splits against each other; several show one split
// each, laid over each other.
#pragma once

#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

// Figures, or why there are none.
std::string training_curves(const std::vector<KnownRun>& runs);

}  // namespace trainer
