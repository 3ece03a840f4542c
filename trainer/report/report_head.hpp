// The top of a run's page: what came out, in a few large numbers for one run, as a table for several.
#pragma once

#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

// "quick: 98.93 %", "3 runs: quick, lenet", not escaped.
std::string report_title(const std::vector<KnownRun>& runs);

std::string report_head(const std::vector<KnownRun>& runs);

}  // namespace trainer
