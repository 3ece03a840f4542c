// Coordinates are in the units of report.html's drawings, which the page scales to its columns.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <iterator>
#include <limits>
#include <string_view>

#include "models/words.hpp"
#include "trainer/report/report_page.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr double kLeft = 60, kRight = 466, kTop = 12, kBottom = 226;  // the ends of a plot's axes
constexpr double kBarsLeft = 34, kBarHeight = 46;
constexpr std::size_t kMostMarkers = 32;  // more would hide the line
constexpr std::size_t kMostTold = 160;    // points of a line that show their numbers under the mouse
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr Score kNoScore{0, kNaN, kNaN};

using ValueText = std::function<std::string(double)>;
using AxisOf = std::function<Axis(const std::vector<double>&)>;

std::string percent_of(double value) {
  return fmt::format("{:.2f} %", value);
}
std::string plain(double value) {
  return fmt::format("{:.4g}", value);
}

struct Line {
  std::string name;
  std::string_view word;               // "epoch", or "seed" of a sprint
  std::vector<double> epochs, values;  // the value is NaN if it cannot be drawn
};

template <class Quantity>
Line line_of(const std::string& name, const KnownRun& run, Quantity quantity) {
  Line line{name, run.epoch_word(), {}, {}};
  for (const EpochRecord& epoch : run.epochs) {
    double value = std::invoke(quantity, epoch);
    if (std::abs(value) < 1e-30) value = 0;
    if (std::abs(value) >= 1e12) value = kNaN;  // no training gives it, and it would leave the others no room
    line.epochs.push_back(epoch.epoch);
    line.values.push_back(value);
  }
  return line;
}

// Per cent, and loss, of a run's "test" or "validation" images.
Line accuracy_of(const std::string& name, const KnownRun& run, bool validation = false) {
  return line_of(name, run, [validation](const EpochRecord& epoch) {
    const double accuracy = validation ? epoch.validation.value_or(kNoScore).accuracy : epoch.test.accuracy;
    return std::isfinite(accuracy) ? 100 * std::clamp(accuracy, 0.0, 1.0) : kNaN;
  });
}

Line loss_of(const std::string& name, const KnownRun& run, bool validation = false) {
  return line_of(name, run, [validation](const EpochRecord& epoch) {
    return validation ? epoch.validation.value_or(kNoScore).loss : epoch.test.loss;
  });
}

std::string place(double at) {
  return fmt::format("{:.1f}", at);
}

ordered_json ticks_of(const Axis& axis, double from, double to) {
  ordered_json ticks = ordered_json::array();
  for (const AxisTick& tick : axis.ticks)
    ticks.push_back({{"at", place(from + axis.position(tick.value) * (to - from))}, {"label", tick.label}});
  return ticks;
}

// The line has a gap where a value is not finite.
ordered_json drawn_line(const Line& line, std::size_t index, const Axis& x, const Axis& y,
                        const ValueText& text) {
  const std::size_t epochs = line.epochs.size();
  const std::size_t every = (epochs + kMostTold - 1) / kMostTold;
  ordered_json points = ordered_json::array();
  std::string path;
  bool drawing = false;
  for (std::size_t i = 0; i < epochs; ++i) {
    const bool finite = std::isfinite(line.values[i]);
    if (finite) {
      const std::string at_x = place(kLeft + x.position(line.epochs[i]) * (kRight - kLeft));
      const std::string at_y = place(kBottom - y.position(line.values[i]) * (kBottom - kTop));
      path += fmt::format("{}{} {}", drawing ? "L" : "M", at_x, at_y);
      if (i % every == 0 || i + 1 == epochs)
        points.push_back({{"x", at_x},
                          {"y", at_y},
                          {"text", fmt::format("{}, {} {}: {}", line.name, line.word, line.epochs[i],
                                               text(line.values[i]))}});
    }
    drawing = finite;
  }
  return {{"name", line.name},
          {"style", line_style(index)},
          {"path", path},
          {"marker", epochs <= kMostMarkers ? "marker" : "unseen"},
          {"points", points}};
}

// Adds nothing if no line has a number.
void add_plot(ordered_json& plots, const std::string& title, const std::vector<Line>& lines,
              const ValueText& text, const AxisOf& axis) {
  const auto is_finite = [](double value) { return std::isfinite(value); };
  std::vector<double> epochs, values;
  std::string note;
  for (const Line& line : lines) {
    std::ranges::copy(line.epochs, std::back_inserter(epochs));
    std::ranges::copy(line.values, std::back_inserter(values));
    const auto gap = std::ranges::find_if_not(line.values, is_finite) - line.values.begin();
    if (gap < std::ssize(line.values))
      note += fmt::format("{}: not finite at {} {}. ", line.name, line.word,
                          line.epochs[static_cast<std::size_t>(gap)]);
  }
  if (std::ranges::none_of(values, is_finite)) return;
  const Axis x = epoch_axis(epochs), y = axis(values);
  if (y.scale == Axis::Scale::distance_to_100) note += "The scale widens towards 100 %.";
  if (y.scale == Axis::Scale::logarithmic) note += "Logarithmic scale.";
  ordered_json drawn = ordered_json::array();
  for (std::size_t i = 0; i < lines.size(); ++i) drawn.push_back(drawn_line(lines[i], i, x, y, text));
  const bool alike = std::ranges::all_of(lines, [&](const Line& line) { return line.word == lines[0].word; });
  plots.push_back({{"title", title},
                   {"legend", lines.size() > 1},
                   {"x_title", alike ? lines[0].word : "epoch, or seed of a sprint"},
                   {"x_ticks", ticks_of(x, kLeft, kRight)},
                   {"y_ticks", ticks_of(y, kBottom, kTop)},
                   {"lines", drawn},
                   {"note", note}});
}

AxisOf accuracy_axis_of(const std::vector<KnownRun>& runs) {
  std::uint64_t images = 1;
  for (const KnownRun& run : runs) images = std::max(images, run.record.data.test_images);
  return [images](const std::vector<double>& values) {
    return accuracy_axis(values, 100 / static_cast<double>(images));
  };
}

ordered_json plots_of_one(const std::vector<KnownRun>& runs) {
  const KnownRun& run = runs.front();
  std::vector<Line> accuracy{accuracy_of("test", run)};
  std::vector<Line> loss{line_of("training", run, &EpochRecord::train_loss), loss_of("test", run)};
  const bool validated =
      std::ranges::any_of(run.epochs, [](const EpochRecord& epoch) { return epoch.validation.has_value(); });
  if (validated) {
    accuracy.push_back(accuracy_of("validation", run, true));
    loss.push_back(loss_of("validation", run, true));
  }
  ordered_json plots = ordered_json::array();
  add_plot(plots, validated ? "Accuracy, %" : "Test accuracy, %", accuracy, percent_of,
           accuracy_axis_of(runs));
  add_plot(plots, "Loss", loss, plain, loss_axis);
  add_plot(plots, run.sprint ? "Time of a seed, seconds" : "Time of an epoch, seconds",
           {line_of("time", run, &EpochRecord::seconds)}, duration_text, axis_from_zero);
  add_plot(plots, "Learning rate at the epoch's end", {line_of("rate", run, &EpochRecord::learning_rate)},
           plain, loss_axis);
  return plots;
}

ordered_json plots_of_several(const std::vector<KnownRun>& runs) {
  std::vector<Line> accuracy, test_loss, train_loss;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string name = fmt::format("{} {}", letter_of(i), runs[i].record.model);
    accuracy.push_back(accuracy_of(name, runs[i]));
    test_loss.push_back(loss_of(name, runs[i]));
    train_loss.push_back(line_of(name, runs[i], &EpochRecord::train_loss));
  }
  ordered_json plots = ordered_json::array();
  add_plot(plots, "Test accuracy, %", accuracy, percent_of, accuracy_axis_of(runs));
  add_plot(plots, "Test loss", test_loss, plain, loss_axis);
  add_plot(plots, "Training loss", train_loss, plain, loss_axis);
  return plots;
}

std::string bar_text(const KnownRun& run, const std::vector<double>& seconds) {
  if (seconds.empty()) return "no epoch";
  const Spread times = spread_of(seconds);
  std::string text = fmt::format("{}: {}", run.record.model, duration_text(times.median));
  if (seconds.size() > 1)
    text += fmt::format(" ({} to {})", duration_text(times.least), duration_text(times.most));
  return text + fmt::format(", {} images", grouped(run.record.data.train_images));
}

// Each run has a bar as long as the median, and a whisker from the shortest to the longest epoch. Null if no run has an epoch.
ordered_json epoch_time_bars(const std::vector<KnownRun>& runs) {
  std::vector<double> all;
  for (const KnownRun& run : runs) std::ranges::copy(epoch_durations(run), std::back_inserter(all));
  if (all.empty()) return nullptr;
  const Axis axis = axis_from_zero(all);
  const auto x = [&](double value) { return place(kBarsLeft + axis.position(value) * (kRight - kBarsLeft)); };
  ordered_json rows = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<double> seconds = epoch_durations(runs[i]);
    ordered_json bar;
    if (!seconds.empty()) {
      const Spread times = spread_of(seconds);
      bar = {{"style", line_style(i)},
             {"median", x(times.median)},
             {"shortest", x(times.least)},
             {"longest", x(times.most)}};
    }
    rows.push_back({{"top", kBarHeight * static_cast<double>(i)},
                    {"letter", letter_of(i)},
                    {"text", bar_text(runs[i], seconds)},
                    {"bar", bar}});
  }
  const double bottom = kBarHeight * static_cast<double>(runs.size()) + 4;
  return {{"rows", rows},
          {"ticks", ticks_of(axis, kBarsLeft, kRight)},
          {"bottom", bottom},
          {"height", bottom + 44}};
}

}  // namespace

std::vector<double> epoch_durations(const KnownRun& run) {
  const EpochTimes times = epoch_times(run);
  std::vector<double> seconds = times.timed;
  if (seconds.empty() && times.warm_up) seconds.push_back(*times.warm_up);
  if (seconds.empty())
    for (const EpochRecord& epoch : run.epochs) seconds.push_back(epoch.seconds);
  std::erase_if(seconds, [](double value) { return !std::isfinite(value) || value < 0; });
  return seconds;
}

std::string line_style(std::size_t index) {
  return fmt::format("c{} d{}", index % 6, index % 4);
}

ordered_json training_curves(const std::vector<KnownRun>& runs) {
  const ordered_json plots = runs.size() == 1 ? plots_of_one(runs) : plots_of_several(runs);
  const ordered_json times = runs.size() == 1 ? ordered_json(nullptr) : epoch_time_bars(runs);
  if (plots.empty() && times.is_null()) return nullptr;
  return {{"plots", plots}, {"times", times}};
}

}  // namespace trainer
