// Axes of a plot: which values they span, where their ticks are, and where a value lies between their ends.
// Accuracies come close to 100 %, where the differences that matter become small: their axis then goes by the
// distance to 100 % on a logarithmic scale, which gives 99 to 99.9 as much room as 90 to 99.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace trainer {

struct AxisTick {
  double value = 0;
  std::string label;
};

struct Axis {
  enum class Scale { linear, logarithmic, distance_to_100 };

  Scale scale = Scale::linear;
  double low = 0;
  double high = 1;
  std::vector<AxisTick> ticks;  // between low and high, in rising order

  // 0 at low, 1 at high; values outside are at the nearest end. Not for NaN.
  double position(double value) const;
};

// Values that are not finite are left out. Spans at least the rest, with round ends; a span of nothing where
// there is none.
Axis axis_from_zero(std::span<const double> values);

// Numbers of epochs: whole ticks, ends where the values end.
Axis epoch_axis(std::span<const double> values);

// Linear from zero, or logarithmic where the values above zero span a factor of 20.
Axis loss_axis(std::span<const double> values);

// Per cent, 0 to 100. `resolution`: what one image more is worth; nothing is closer to 100 than half of it.
Axis accuracy_axis(std::span<const double> values, double resolution);

// As short as tells the steps of `step` apart.
std::string tick_label(double value, double step);

}  // namespace trainer
