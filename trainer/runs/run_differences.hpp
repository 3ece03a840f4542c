// What runs were told to do and on what they ran, as a list of named values; and those in which they differ.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct RunDifference {
  std::string name;                            // "recipe.batch"
  std::vector<nlohmann::ordered_json> values;  // one a run; null: it has none
};

// In the order of a record. Left out: when a run was made and how it went, and what a machine was up to at
// the time (free memory, clocks, temperatures).
[[nodiscard]] std::vector<RunDifference> differences(const std::vector<KnownRun>& runs);

// A table of the values that fit the width, below it a block for each that has longer ones: no value is cut.
// One line if nothing differs. Runs are called by letter_of().
[[nodiscard]] std::string differences_text(const std::vector<RunDifference>& differences);
[[nodiscard]] nlohmann::ordered_json differences_json(const std::vector<RunDifference>& differences);

}  // namespace trainer
