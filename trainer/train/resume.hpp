// Going on with a run: its checkpoint, and what must be so before the first new step.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer {

struct Resumed {
  std::filesystem::path folder;  // the run's
  std::optional<RunFolder>
      writable;  // the same, locked since before the checkpoint was read; none: only read
  SafetensorsFile file;
  SavedNetwork saved;
  std::optional<RunRecord> record;  // as the run left it; none: it has none
};

enum class ResumeAs { writer, reader };

// `run` is the run's folder or id, 'last', or the checkpoint's file. A writer takes the folder's lock first.
// Throws FileError: not found, damaged, no checkpoint, written by another process.
Resumed open_resumed(const Environment& environment, const std::string& run, ResumeAs as);

// The evaluations of the run's metrics.jsonl that its checkpoint knows of. Later ones are taken out of the
// file: a kill may fall between the two, and they will be made again. Throws FileError.
std::vector<EpochRecord> keep_earlier_metrics(const Resumed& resumed, const Setup& setup);

// The data set of a run that goes on: `given` (--data), where the run had it, or where data_folder finds one.
// It must hold the very images that the run was trained on; otherwise UsageError with both fingerprints.
data::Dataset load_resumed_data(const Environment& environment, const Resumed& resumed,
                                const std::string& given);

// Joules that the GPU used for the run so far, as its record has it.
std::optional<double> recorded_energy(const Resumed& resumed);

// A sentence on what decides the last bits (precision, engine, threads), where it is not what the run was
// begun with; empty: all the same.
std::string changed_engine(const Resumed& resumed, const DeviceInfo& info, Precision precision);

}  // namespace trainer
