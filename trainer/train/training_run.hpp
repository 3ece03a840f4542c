// One training from command to result: chooses the device, makes or resumes the run's folder, trains, saves,
// and keeps the run's record right whatever happens.
#pragma once

#include <optional>
#include <string>

#include "trainer/store/environment.hpp"
#include "trainer/store/settings.hpp"

namespace trainer {

// --checkpoint-every: N (full epochs) or Nsteps.
struct CheckpointEvery {
  std::uint64_t epochs = 1;
  std::uint64_t steps = 0;
};

struct RunOptions {
  std::string model = "quick";
  std::string data;  // empty: TRAINER_DATA or the shipped MNIST
  std::string device = "auto";
  std::optional<int> threads;
  std::optional<double> target_accuracy;  // share
  std::optional<double> max_seconds;
  CheckpointEvery checkpoint_every;
  std::string out;
  std::string resume;   // RUN_OR_FILE
  std::string profile;  // file for a trace; empty: no profile
  bool nondeterministic = false;
  bool no_save = false;
  bool json = false;
  bool quiet = false;
  TrainSettings settings;  // those of the run itself count with `resume`
};

// The exit status: 0, 1 for a loss that is not finite, 130 or 143 after a signal. Throws for everything that
// is wrong before or around the training.
int run_training(const Environment& environment, const RunOptions& options);

}  // namespace trainer
