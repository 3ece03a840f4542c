// Going on with a run: its checkpoint, and what must be so before the first new step.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "trainer/checkpoint.hpp"
#include "trainer/environment.hpp"

namespace trainer {

struct Resumed {
  std::filesystem::path folder;  // the run's
  SafetensorsFile file;
  SavedNetwork saved;
  std::string data;    // the path of its data set, from its record; empty: it has none
  double seconds = 0;  // that it has taken, from its record
};

// `run` is the run's folder or id, 'last', or the checkpoint's file. Throws FileError: not found, damaged, no
// checkpoint.
Resumed open_resumed(const Environment& environment, const std::string& run);

// Takes lines out of the run's metrics.jsonl that the checkpoint does not know of: a kill may fall between
// the two, and those evaluations will be made again. Throws FileError.
// Gives the evaluations that stay.
std::vector<EpochRecord> keep_earlier_metrics(const Resumed& resumed, const Setup& setup);

// The data set of a run that goes on: `given` (--data), where the run had it, or where data_folder finds one.
// It must hold the very images that the run was trained on; otherwise UsageError with both fingerprints.
data::Dataset load_resumed_data(const Environment& environment, const Resumed& resumed,
                                const std::string& given);

// The threads that it was begun with, as far as this machine has so many cores: other threads take sums in
// another order.
std::optional<int> resumed_threads(const Resumed& resumed);

}  // namespace trainer
