// What runs were told to do and on what they ran, as named values; and those in which they differ.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

// `json` as one object without objects in it, down to a depth of 7: a value's name is the path to it, "recipe.batch". Members
// that `left_out` says so of are not taken.
[[nodiscard]] nlohmann::ordered_json flattened(
    const nlohmann::ordered_json& json,
    bool (*left_out)(std::string_view member, const nlohmann::ordered_json& value) = nullptr);

// An array of {"name", "values": one a run, null where it has none}, from an object of named values a run. The names are in the
// order in which they come up.
[[nodiscard]] nlohmann::ordered_json side_by_side(const std::vector<nlohmann::ordered_json>& runs);
// Those rows of it whose values are not all alike.
[[nodiscard]] nlohmann::ordered_json different_rows(const nlohmann::ordered_json& rows);

[[nodiscard]] nlohmann::ordered_json data_json(const RunRecord::DataSet& data);

// Rows as above, in the order of a record. Left out: when a run was made and how it went, and what a machine was up to at
// the time (free memory, clocks, temperatures).
[[nodiscard]] nlohmann::ordered_json differences(const std::vector<KnownRun>& runs);

// A table of the values that fit the width, below it a block for each that has longer ones: no value is cut.
// One line if nothing differs. Runs are called by letter_of().
[[nodiscard]] std::string differences_text(const nlohmann::ordered_json& differences);

}  // namespace trainer
