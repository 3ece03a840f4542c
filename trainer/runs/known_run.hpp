// A run that was written before, as `trainer runs` looks at it: its record, and a row for each evaluation.
// It may come from another machine and another version of this program; what a file does not say is empty.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/store/run_record.hpp"

namespace trainer {

// What `trainer sprint` found: every "epoch" of such a run is a training from scratch, with a seed of its
// own.
struct SprintFound {
  double mean = 0;            // of the seeds' accuracies, 0 to 1
  double standard_error = 0;  // of the mean
  double seconds = 0;         // of a training and its test, median
};

struct KnownRun {
  std::filesystem::path folder;
  std::string id;  // the folder's name
  RunRecord record;
  std::vector<EpochRecord> epochs;
  std::optional<SprintFound> sprint;
  bool killed = false;  // its record says "running", but no process of this machine writes it any more

  // Share of the test images at the last evaluation; of a sprint the mean. Nothing without an evaluation.
  [[nodiscard]] std::optional<double> accuracy() const;
  // Of all its parts; for a run that never closed its record, of the epochs that it told of.
  [[nodiscard]] double seconds() const;
};

// What one of its `epochs` is: "epoch", or a sprint's "seed".
[[nodiscard]] inline const char* epoch_word(const KnownRun& run) {
  return run.sprint ? "seed" : "epoch";
}

// "running", "finished", "stopped", "failed", "killed", or "submitted": its container was not started yet.
[[nodiscard]] std::string status_word(const KnownRun& run);

// Throws FileError with the path and the reason. A run that wrote no metrics yet has no epochs.
[[nodiscard]] KnownRun read_known_run(const std::filesystem::path& folder);

}  // namespace trainer
