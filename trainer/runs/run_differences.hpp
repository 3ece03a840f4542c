// What runs were told to do and on what they ran, as a list of named values; and those in which they differ.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct NamedValue {
  std::string name;  // "recipe.batch"
  nlohmann::ordered_json value;
};
using NamedValues = std::vector<NamedValue>;

// Appends `json`; an object that is not empty as its members, "name.member", down to a depth of 6. Members that `left_out`
// names are not taken.
void take_apart(NamedValues& values, const std::string& name, const nlohmann::ordered_json& json,
                bool (*left_out)(std::string_view member) = nullptr, int depth = 0);

struct NamedRow {
  std::string name;
  std::vector<nlohmann::ordered_json> values;  // one a run; null: it has none
  [[nodiscard]] bool differs() const;
};

// The names in the order in which they come up.
[[nodiscard]] std::vector<NamedRow> side_by_side(
    const std::vector<KnownRun>& runs, const std::function<NamedValues(const KnownRun&)>& values_of);

[[nodiscard]] nlohmann::ordered_json data_json(const RunRecord::DataSet& data);

// In the order of a record. Left out: when a run was made and how it went, and what a machine was up to at
// the time (free memory, clocks, temperatures).
[[nodiscard]] std::vector<NamedRow> differences(const std::vector<KnownRun>& runs);

// A table of the values that fit the width, below it a block for each that has longer ones: no value is cut.
// One line if nothing differs. Runs are called by letter_of().
[[nodiscard]] std::string differences_text(const std::vector<NamedRow>& differences);
[[nodiscard]] nlohmann::ordered_json differences_json(const std::vector<NamedRow>& differences);

}  // namespace trainer
