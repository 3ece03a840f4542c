// The page about one run or several: one HTML file that needs nothing else, no network and no script. report.html says how it
// looks, and here are its values.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/report/report_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ReportPage {
  std::vector<KnownRun> runs;             // at least one
  std::vector<ExaminedNetwork> networks;  // for the first runs
};

std::string report_html(const ReportPage& page);

inline constexpr std::size_t kMostReportValues = 300;

// An object of a record's values by their names in run.json, "recipe.batch", as text for people: times, sizes and fractions with
// their units, told by the name. Not more than kMostReportValues. A record may hold parts that this program does not know.
ordered_json values_of(const ordered_json& json);

// "2026-01-01 09:30:00 +01:00" of an iso_time; any other text as it is.
std::string time_text(std::string time);

// Fills a page's template with values. All text that comes from a file or a command line gets onto the page here, escaped.
//   {{name}}                    the value, escaped; {{.}} is the value of the section around it
//   {{#name}} ... {{/name}}     once for each value of a list, once for any other value, not at all where it is absent,
//                               null, false, "" or an empty list
//   {{^name}} ... {{/name}}     once where {{#name}} would stand not at all
//   {{<name}} ... {{/name}}     a part, which stands wherever {{>name}} does
//   {{! ... }}                  a comment
// A name is looked up in the section's value, then in those around it. A section contains no section of its own name. The line
// break after a tag that is not a value belongs to the tag. The language is a part of Mustache.
[[nodiscard]] std::string filled_template(std::string_view text, const ordered_json& values);

// The course of trainings as plots, and the time of an epoch as bars: their axes, and all that report.html draws as inline SVG,
// which needs no script, scales with the page and prints.

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
[[nodiscard]] ordered_json training_curves(const std::vector<KnownRun>& runs);

}  // namespace trainer
