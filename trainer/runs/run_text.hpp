// One run in full, for a reader and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "trainer/runs/known_run.hpp"

namespace trainer {

// Lines, each ended: how it ended, what was trained, on what, a row an evaluation, its files.
[[nodiscard]] std::string run_text(const KnownRun& run);

// id, folder, status (killed where that is what happened), target; "record": run.json as it is; "epochs": the
// lines of metrics.jsonl; "files" with their sizes. Throws FileError.
[[nodiscard]] nlohmann::ordered_json run_json(const KnownRun& run);

}  // namespace trainer
