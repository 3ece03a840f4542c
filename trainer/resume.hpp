// Going on with a run: its checkpoint, and what must be so before the first new step.
#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.hpp"
#include "trainer/checkpoint.hpp"
#include "trainer/environment.hpp"

namespace trainer {

struct Resumed {
  std::filesystem::path folder;  // the run's
  SafetensorsFile file;
  SavedNetwork saved;
};

// `run` is the run's folder or id, 'last', or the checkpoint's file. Throws FileError: not found, damaged, no
// checkpoint.
Resumed open_resumed(const Environment& environment, const std::string& run);

// A resumed run must see the very images that it was trained on; otherwise UsageError with both fingerprints.
void require_same_data(const Resumed& resumed, const data::Dataset& dataset);

// Takes lines out of the run's metrics.jsonl that the checkpoint does not know of: a kill may fall between
// the two, and those evaluations will be made again. Throws FileError.
void keep_earlier_metrics(const Resumed& resumed);

}  // namespace trainer
