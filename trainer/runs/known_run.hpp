// Runs that were written before, as `trainer runs` reads them. They may come from another machine and another version of this
// program; what a file does not say is absent.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/store/run_record.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// What `trainer sprint` found: every "epoch" of such a run is a training from scratch, with a seed of its own.
struct SprintFound {
  double mean = 0;            // the seeds' mean accuracy, 0 to 1
  double standard_error = 0;  // of that mean
  double seconds = 0;         // median of a training with its test
  int views = 1;              // of an uncertain test image: results with more are a class of their own
};

struct KnownRun {
  fs::path folder;
  std::string id;  // the folder's name
  RunRecord record;
  std::vector<EpochRecord> epochs;  // none where the run wrote no metrics yet
  std::optional<SprintFound> sprint;
  bool killed = false;  // its record says "running", but no process of this machine writes it any more
  bool copied = false;  // the same, but that process was another machine's, or wrote another folder

  // On the images of `split` ("test" or "validation") at the end: from the record's results or, in a run that did not reach
  // its end, at the last evaluation in its metrics. Absent if neither has it.
  [[nodiscard]] std::optional<Score> score(const char* split) const;
  // On the test images at the end, 0 to 1; a sprint's is the mean over its seeds.
  [[nodiscard]] std::optional<double> accuracy() const;
  // The number in the record's results; without results, the number in its metrics.
  [[nodiscard]] std::uint64_t evaluations() const;
  // Says in which of these metrics.jsonl differs from the record's results, "metrics.jsonl holds 1 of 2 epochs"; empty: in none.
  [[nodiscard]] std::string disagreement() const;
  // Over all its parts; if the run never closed its record, the sum over the epochs that it wrote down.
  [[nodiscard]] double seconds() const;
  // "running", "finished", "stopped", "failed", "killed", "copied", or "submitted": its container was not started yet.
  [[nodiscard]] std::string status() const;
  [[nodiscard]] std::string precision() const;  // "fp32" where a run of an earlier program does not say
  // What one of its `epochs` is: "epoch", or a sprint's "seed".
  [[nodiscard]] const char* epoch_word() const { return sprint ? "seed" : "epoch"; }
};

// Throws FileError with the path and the reason.
[[nodiscard]] KnownRun read_known_run(const fs::path& folder);

struct RunList {
  std::vector<KnownRun> runs;           // the one started last comes first, one without a time last
  std::vector<std::string> unreadable;  // "NAME (REASON)", sorted
};

// The runs in `folder`, without hidden folders; none if it does not exist. What else lies there never prevents a run from being
// listed. Throws FileError where `folder` cannot be read.
[[nodiscard]] RunList list_runs(const fs::path& folder);

// "note: 2 folders in runs are not listed: a (...), b (...)", one line without a line break; "" if there are none.
[[nodiscard]] std::string unreadable_note(const RunList& list, const fs::path& folder);

// "note: run.json and metrics.jsonl disagree, and the former is believed: a (...)", likewise.
[[nodiscard]] std::string disagreement_note(const std::vector<KnownRun>& runs);

// An epoch counts as timed when it went over all training images and is not a warm-up: the first one of a run, and the first
// one after each resumption, in which libraries choose their algorithms, caches fill and clocks rise.
struct EpochTimes {
  std::optional<double> warm_up;  // seconds of the run's first epoch, if it was a whole one
  std::vector<double> timed;      // seconds, in the run's order
};

[[nodiscard]] EpochTimes epoch_times(const KnownRun& run);

}  // namespace trainer
