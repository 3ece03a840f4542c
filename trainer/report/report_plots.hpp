// The course of trainings as plots, and the time of an epoch as bars: their axes, and all that report.html draws as inline SVG,
// which needs no script, scales with the page and prints.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "trainer/runs/known_run.hpp"

namespace trainer {

struct AxisTick {
  double value = 0;
  std::string label;
};

// Accuracies come close to 100 %, where the differences that matter become small: their axis then goes by the distance to
// 100 % on a logarithmic scale, which gives 99 to 99.9 as much room as 90 to 99.
struct Axis {
  enum class Scale { linear, logarithmic, distance_to_100 };

  Scale scale = Scale::linear;
  double low = 0;
  double high = 1;
  std::vector<AxisTick> ticks;  // between low and high, in rising order

  // 0 at low, 1 at high; values outside are placed at the nearest end. NaN is not allowed.
  [[nodiscard]] double position(double value) const;
};

// All four ignore values that are not finite. This one spans at least the others and zero, and has round ends.
[[nodiscard]] Axis axis_from_zero(std::span<const double> values);
// An axis for numbers of epochs: the ticks are whole numbers, and the axis ends where the values end.
[[nodiscard]] Axis epoch_axis(std::span<const double> values);
// It is linear from zero, or logarithmic where the values above zero span a factor of 20.
[[nodiscard]] Axis loss_axis(std::span<const double> values);
// An axis for per cent, 0 to 100. `resolution` is what one image is worth; nothing is closer to 100 than half of it.
[[nodiscard]] Axis accuracy_axis(std::span<const double> values, double resolution);

// Seconds of training, without evaluation: the timed epochs of epoch_times(), or the warm-up where there are none, or else parts
// of epochs. Empty if the run has no epochs.
[[nodiscard]] std::vector<double> epoch_durations(const KnownRun& run);

// The classes in report.html that draw line i; the first twelve lines all look different.
[[nodiscard]] std::string line_style(std::size_t index);

// "plots", and "times" for the bars of several runs; null where no run has a number to draw. One run shows its data splits
// against each other; several show one split each, laid over each other.
[[nodiscard]] nlohmann::ordered_json training_curves(const std::vector<KnownRun>& runs);

}  // namespace trainer
