// What a run's epochs took. An epoch counts as timed when it went over all training images and is not a
// warm-up: the first one of a run, and the first one after each resumption, in which libraries choose their
// algorithms, caches fill and clocks rise.
#pragma once

#include <optional>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct EpochTimes {
  std::optional<double> warm_up;  // seconds of the run's first epoch, if it was a whole one
  std::vector<double> timed;      // seconds, in the run's order
};

[[nodiscard]] EpochTimes epoch_times(const KnownRun& run);

// Seconds of an epoch: as the run's own summary has it (the median of all evaluated ones), or, for a run that
// wrote none, worked out alike from its metrics.
[[nodiscard]] std::optional<double> epoch_seconds(const KnownRun& run);
// The median over the epochs, warm-up included.
[[nodiscard]] std::optional<double> images_per_second(const KnownRun& run);

struct AccuracyReached {
  int epoch = 0;
  int seeds = 0;       // of a sprint: their mean reached it, and the time is the median of theirs
  double seconds = 0;  // of training and tests until then, without what comes before the first step
};

// The first evaluation whose accuracy on the test images is at least `accuracy` (0 to 1); of a sprint the mean
// over its seeds.
[[nodiscard]] std::optional<AccuracyReached> time_to_accuracy(const KnownRun& run, double accuracy);
[[nodiscard]] std::optional<double> best_accuracy(const KnownRun& run);

}  // namespace trainer
