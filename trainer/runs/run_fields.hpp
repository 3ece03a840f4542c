// What `trainer runs list` knows of a run, by name: the words of --where and --sort, the columns of --csv and
// the keys of --json.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "models/words.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

// Nothing where the run does not say, or where a loss was not finite.
using RunValue = std::variant<std::monostate, double, std::string>;

enum class FieldKind { number, text };

struct RunField {
  std::string_view name;
  FieldKind kind;
  std::string_view about;
  RunValue (*value)(const KnownRun&);
};

[[nodiscard]] std::span<const RunField> run_fields();
[[nodiscard]] const RunField* find_field(std::string_view name);  // null: there is none
[[nodiscard]] Words field_names();

// Orders by a field, "accuracy", from the highest with "-accuracy"; runs without a value come last either
// way, equal ones stay in their order. Throws UsageError with the choices and the nearest.
void sort_runs(std::vector<KnownRun>& runs, const std::string& key);

}  // namespace trainer
