// One training from command to result: chooses the device, creates or resumes the run's folder, trains, saves, and keeps the
// run's record right whatever happens.
#pragma once

#include <string>

#include "trainer/train/loop.hpp"
#include "trainer/train/recorded_run.hpp"

namespace trainer {

struct RunOptions {
  std::string model = "quick";  // empty, with `from`: the network of that file
  std::string data;             // empty: TRAINER_DATA or the shipped MNIST
  DeviceRequest device;         // its precision and engine become the settings'
  TrainSettings settings;       // a resumed run has its own
  LoopLimits limits;
  OutputOptions output;
  std::string resume;        // RUN_OR_FILE; settings.epochs then replaces the run's
  std::string from;          // RUN_OR_FILE with the first weights; empty: drawn from the seed
  std::optional<Spec> spec;  // the network itself, instead of `model`
  std::string profile;       // file for a trace; empty: no profile
  RankOptions ranks;
};

// Every one of several ranks calls it with the same options; the first one prints, and keeps the run. Returns the exit status: 0, 1
// for a loss that is not finite, 130 or 143 after a signal. Throws on any error before or around the training.
int run_training(const Environment& environment, const RunOptions& options);

}  // namespace trainer
