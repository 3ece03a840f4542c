// The time of an epoch of several runs, a bar a run: its length is the median, its whisker goes from the
// shortest to the longest epoch.
#pragma once

#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct EpochSpan {
  double median = 0, shortest = 0, longest = 0;  // seconds of training, without evaluation
  std::size_t epochs = 0;                        // that were counted
};

// Of the timed epochs of epoch_times(); where there are none of the warm-up, else of pieces of epochs.
// Nothing counted where the run has no epochs.
EpochSpan epoch_span(const KnownRun& run);

// <figure>; empty where none of the runs has an epoch.
std::string epoch_time_bars(const std::vector<KnownRun>& runs);

// "1.234 s", "12.3 ms", "3 min 20 s"
std::string duration_text(double seconds);

}  // namespace trainer
