// What `trainer runs list` knows about a run, by name: the words of --where and --sort, the columns of --csv and the keys of --json.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/words.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct RunField {
  std::string_view name;
  std::string_view kind;  // what its values are: "number", "text", or "time", a text
  std::string_view about;
  // Null if the run does not say, or if a loss was not finite.
  nlohmann::ordered_json (*value)(const KnownRun&);
};

[[nodiscard]] std::span<const RunField> run_fields();
[[nodiscard]] Words field_names();

// Sorts by a field, "accuracy", in descending order with "-accuracy". Runs without a value come last either way, and equal ones
// keep their order. Throws UsageError with the choices and the nearest.
void sort_runs(std::vector<KnownRun>& runs, const std::string& key);

// Keeps the runs that meet the conditions of --where: FIELD OP VALUE, joined by &&. OP is one of == != < <= > >= and, for
// texts, =~ and !~. A value stands in single or double quotes, or bare if it is one word.
//   Texts are compared byte by byte, times as instants: in any zone, or in local time if they name none.
//   =~ finds its value anywhere in the text; with * ? or [ it is a pattern of fnmatch(3) for the whole text. Capitals and
//   small letters are alike.
// Every condition on a value that a run does not have is false. Throws UsageError with the column, what stands
// there, and what could.
void filter_runs(std::vector<KnownRun>& runs, const std::string& expression);

}  // namespace trainer
