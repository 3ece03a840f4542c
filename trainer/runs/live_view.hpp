// A run that is in progress, as `trainer runs watch` shows it: as a picture on a terminal, and as lines elsewhere.
#pragma once

#include <optional>
#include <string>

#include "trainer/runs/known_run.hpp"

namespace trainer {

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
