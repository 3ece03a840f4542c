// Runs as text for people and as data for programs: a list of them, and one in full.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

[[nodiscard]] std::string runs_table(const std::vector<KnownRun>& runs);
// Every field of run_fields.hpp, and the folder; what a run does not have is null.
[[nodiscard]] nlohmann::ordered_json runs_json(const std::vector<KnownRun>& runs);
// Every field, quoted as in RFC 4180, with the names in the first line; what a run does not have is empty.
[[nodiscard]] std::string runs_csv(const std::vector<KnownRun>& runs);

// "Xeon Platinum 8488C" of "CPU: Intel(R) Xeon(R) Platinum 8488C, 2 threads": what tells devices apart.
[[nodiscard]] std::string short_device(std::string name);

// How the run ended, what was trained, on what, a row for each evaluation, and its files.
[[nodiscard]] std::string run_text(const KnownRun& run);

// id, folder, status (also "killed" and "copied"), target; "record": run.json as it is; "epochs": the
// lines of metrics.jsonl; "files" with their sizes. Throws FileError.
[[nodiscard]] nlohmann::ordered_json run_json(const KnownRun& run);

}  // namespace trainer
