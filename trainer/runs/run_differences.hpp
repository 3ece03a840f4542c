// The configuration and machine of runs as named values, and the values in which runs differ.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

// `json` as one object that contains no other objects, down to a depth of 7: a value's name is the path to it, "recipe.batch".
// Members for which `left_out` returns true are not taken.
[[nodiscard]] nlohmann::ordered_json flattened(
    const nlohmann::ordered_json& json,
    bool (*left_out)(std::string_view member, const nlohmann::ordered_json& value) = nullptr);

// An array of {"name", "values"}: a value for each run, null if it has none. Each run is an object of named values. The names are
// in the order of their first appearance.
[[nodiscard]] nlohmann::ordered_json side_by_side(const std::vector<nlohmann::ordered_json>& runs);
// The rows whose values are not all equal.
[[nodiscard]] nlohmann::ordered_json different_rows(const nlohmann::ordered_json& rows);

[[nodiscard]] nlohmann::ordered_json data_json(const RunRecord::DataSet& data);

// Rows as above, in the order of a record. They leave out when a run was made and how it went, and the state of the machine at the
// time (free memory, clocks, temperatures).
[[nodiscard]] nlohmann::ordered_json differences(const std::vector<KnownRun>& runs);

// A table of the values that fit the width, and below it a block for each name with longer values: no value is cut. It is one line
// if nothing differs. letter_of() names the runs.
[[nodiscard]] std::string differences_text(const nlohmann::ordered_json& differences);

}  // namespace trainer
