// Runs as text for people and as data for programs: their fields by name, a list of them, one in full, and one in progress.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/words.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

// What `trainer runs list` knows about a run, by name: the words of --where and --sort, the columns of --csv and the keys of --json.
struct RunField {
  std::string_view name;
  std::string_view kind;  // what its values are: "number", "text", or "time", a text
  std::string_view about;
  // Null if the run does not say, or if a loss was not finite.
  ordered_json (*value)(const KnownRun&);
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

[[nodiscard]] std::string runs_table(const std::vector<KnownRun>& runs);
// Every one of run_fields(), and the folder; what a run does not have is null.
[[nodiscard]] ordered_json runs_json(const std::vector<KnownRun>& runs);
// Every field, quoted as in RFC 4180, with the names in the first line; what a run does not have is empty.
[[nodiscard]] std::string runs_csv(const std::vector<KnownRun>& runs);

// "Xeon Platinum 8488C" of "CPU: Intel(R) Xeon(R) Platinum 8488C, 2 threads": what tells devices apart.
[[nodiscard]] std::string short_device(std::string name);

// How the run ended, what was trained, on what, a row for each evaluation, and its files.
[[nodiscard]] std::string run_text(const KnownRun& run);

// id, folder, status (also "killed" and "copied"), target; "record": run.json as it is; "epochs": the
// lines of metrics.jsonl; "files" with their sizes. Throws FileError.
[[nodiscard]] ordered_json run_json(const KnownRun& run);

// A run that is in progress, as `trainer runs watch` shows it: as a picture on a terminal, and as lines elsewhere.
struct ViewSize {
  int columns = 80;
  int rows = 24;
  bool unicode = false;
};

// Lines, fewer than there are rows: name and status, how far it is, curves of the test's accuracy and loss over the evaluations,
// `notes` (lines, or empty). The last evaluation was written down `waited` seconds ago; nothing: the run is over.
[[nodiscard]] std::string live_view(const KnownRun& run, std::optional<double> waited,
                                    const std::string& notes, const ViewSize& size);

// "epoch 3 of 10  train loss 0.2443  test 99.10 %, loss 0.0301  1.830 s  32,800 images/s"
[[nodiscard]] std::string evaluation_line(const KnownRun& run, const EpochRecord& evaluation);

// "20260101-093000-quick-1  finished: the recipe's end"
[[nodiscard]] std::string status_line(const KnownRun& run);

}  // namespace trainer
