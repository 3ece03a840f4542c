// Places are in the units of report.html's drawings, which the page scales to its columns.
#include "trainer/report/report_plots.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <limits>

#include "models/words.hpp"
#include "trainer/runs/epoch_times.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr double kLeft = 60, kRight = 466, kTop = 12, kBottom = 226;  // of a plot's ground
constexpr double kBarsLeft = 34, kBarHeight = 46;
constexpr std::size_t kMostMarkers = 32;  // more would hide the line
constexpr std::size_t kMostTold = 160;    // points of a line that tell their numbers when they are pointed at
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Quantity = double (*)(const EpochRecord&);  // NaN where an epoch has none
using ValueText = std::function<std::string(double)>;
using AxisOf = std::function<Axis(const std::vector<double>&)>;

// Numbers that no training gives would leave the rest no room.
double plottable(double value) {
  if (std::abs(value) < 1e-30) return 0;
  return std::abs(value) < 1e12 ? value : kNaN;
}

double percent(double accuracy) {
  return std::isfinite(accuracy) ? 100 * std::clamp(accuracy, 0.0, 1.0) : kNaN;
}

constexpr Quantity kTestAccuracy = [](const EpochRecord& epoch) { return percent(epoch.test.accuracy); };
constexpr Quantity kValidationAccuracy = [](const EpochRecord& epoch) {
  return epoch.validation ? percent(epoch.validation->accuracy) : kNaN;
};
constexpr Quantity kTrainLoss = [](const EpochRecord& epoch) { return epoch.train_loss; };
constexpr Quantity kTestLoss = [](const EpochRecord& epoch) { return epoch.test.loss; };
constexpr Quantity kValidationLoss = [](const EpochRecord& epoch) {
  return epoch.validation ? epoch.validation->loss : kNaN;
};
constexpr Quantity kLearningRate = [](const EpochRecord& epoch) { return epoch.learning_rate; };
constexpr Quantity kSeconds = [](const EpochRecord& epoch) { return epoch.seconds; };

std::string percent_of(double value) {
  return fmt::format("{:.2f} %", value);
}
std::string plain(double value) {
  return fmt::format("{:.4g}", value);
}

struct Line {
  std::string name;
  const KnownRun* run = nullptr;
  Quantity quantity = nullptr;

  [[nodiscard]] double at(std::size_t epoch) const { return plottable(quantity(run->epochs[epoch])); }
};

std::string place(double at) {
  return fmt::format("{:.1f}", at);
}

ordered_json ticks_of(const Axis& axis, double from, double to) {
  ordered_json ticks = ordered_json::array();
  for (const AxisTick& tick : axis.ticks)
    ticks.push_back({{"at", place(from + axis.position(tick.value) * (to - from))}, {"label", tick.label}});
  return ticks;
}

// A gap in the line where a value is not finite.
ordered_json drawn_line(const Line& line, std::size_t index, const Axis& x, const Axis& y,
                        const ValueText& text) {
  const std::vector<EpochRecord>& epochs = line.run->epochs;
  const std::size_t every = (epochs.size() + kMostTold - 1) / kMostTold;
  ordered_json points = ordered_json::array();
  std::string path;
  bool drawing = false;
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const double value = line.at(i);
    const bool finite = std::isfinite(value);
    if (finite) {
      const std::string at_x = place(kLeft + x.position(epochs[i].epoch) * (kRight - kLeft));
      const std::string at_y = place(kBottom - y.position(value) * (kBottom - kTop));
      path += fmt::format("{}{} {}", drawing ? "L" : "M", at_x, at_y);
      if (i % every == 0 || i + 1 == epochs.size())
        points.push_back({{"x", at_x},
                          {"y", at_y},
                          {"text", fmt::format("{}, {} {}: {}", line.name, epoch_word(*line.run),
                                               epochs[i].epoch, text(value))}});
    }
    drawing = finite;
  }
  return {{"name", line.name},
          {"style", line_style(index)},
          {"path", path},
          {"marker", epochs.size() <= kMostMarkers ? "marker" : "unseen"},
          {"points", points}};
}

// "training: not finite at epoch 3. "; where it began.
std::string gap_text(const Line& line) {
  for (std::size_t i = 0; i < line.run->epochs.size(); ++i)
    if (!std::isfinite(line.at(i)))
      return fmt::format("{}: not finite at {} {}. ", line.name, epoch_word(*line.run),
                         line.run->epochs[i].epoch);
  return "";
}

// Of the axis that all lines share.
std::string axis_word(const std::vector<Line>& lines) {
  const auto sprints = static_cast<std::size_t>(
      std::ranges::count_if(lines, [](const Line& line) { return line.run->sprint.has_value(); }));
  if (sprints == 0) return "epoch";
  return sprints == lines.size() ? "seed" : "epoch, or seed of a sprint";
}

// Nothing is added where no line has a number.
void add_plot(ordered_json& plots, const std::string& title, const std::vector<Line>& lines,
              const ValueText& text, const AxisOf& axis) {
  std::vector<double> epochs, values;
  std::string note;
  for (const Line& line : lines) {
    note += gap_text(line);
    for (std::size_t i = 0; i < line.run->epochs.size(); ++i) {
      epochs.push_back(line.run->epochs[i].epoch);
      values.push_back(line.at(i));
    }
  }
  if (std::ranges::none_of(values, [](double value) { return std::isfinite(value); })) return;
  const Axis x = epoch_axis(epochs);
  const Axis y = axis(values);
  if (y.scale == Axis::Scale::distance_to_100) note += "The scale widens towards 100 %.";
  if (y.scale == Axis::Scale::logarithmic) note += "Logarithmic scale.";
  ordered_json drawn = ordered_json::array();
  for (std::size_t i = 0; i < lines.size(); ++i) drawn.push_back(drawn_line(lines[i], i, x, y, text));
  plots.push_back({{"title", title},
                   {"legend", lines.size() > 1},
                   {"x_title", axis_word(lines)},
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
  std::vector<Line> accuracy{{"test", &run, kTestAccuracy}};
  std::vector<Line> loss{{"training", &run, kTrainLoss}, {"test", &run, kTestLoss}};
  const bool validated =
      std::ranges::any_of(run.epochs, [](const EpochRecord& epoch) { return epoch.validation.has_value(); });
  if (validated) {
    accuracy.push_back({"validation", &run, kValidationAccuracy});
    loss.push_back({"validation", &run, kValidationLoss});
  }
  ordered_json plots = ordered_json::array();
  add_plot(plots, validated ? "Accuracy, %" : "Test accuracy, %", accuracy, percent_of,
           accuracy_axis_of(runs));
  add_plot(plots, "Loss", loss, plain, loss_axis);
  add_plot(plots, run.sprint ? "Time of a seed, seconds" : "Time of an epoch, seconds",
           {{"time", &run, kSeconds}}, duration_text, axis_from_zero);
  add_plot(plots, "Learning rate at the epoch's end", {{"rate", &run, kLearningRate}}, plain, loss_axis);
  return plots;
}

ordered_json plots_of_several(const std::vector<KnownRun>& runs) {
  const auto of_each = [&](Quantity quantity) {
    std::vector<Line> lines;
    for (std::size_t i = 0; i < runs.size(); ++i)
      lines.push_back({fmt::format("{} {}", letter_of(i), runs[i].record.model), &runs[i], quantity});
    return lines;
  };
  ordered_json plots = ordered_json::array();
  add_plot(plots, "Test accuracy, %", of_each(kTestAccuracy), percent_of, accuracy_axis_of(runs));
  add_plot(plots, "Test loss", of_each(kTestLoss), plain, loss_axis);
  add_plot(plots, "Training loss", of_each(kTrainLoss), plain, loss_axis);
  return plots;
}

std::string bar_text(const KnownRun& run, const EpochSpan& times) {
  if (times.epochs == 0) return "no epoch";
  std::string text = fmt::format("{}: {}", run.record.model, duration_text(times.median));
  if (times.epochs > 1)
    text += fmt::format(" ({} to {})", duration_text(times.shortest), duration_text(times.longest));
  return text + fmt::format(", {} images", grouped(run.record.data.train_images));
}

// A bar a run: its length is the median, its whisker goes from the shortest to the longest epoch. Null where none of the runs
// has an epoch.
ordered_json epoch_time_bars(const std::vector<KnownRun>& runs) {
  std::vector<double> longest;
  for (const KnownRun& run : runs)
    if (const EpochSpan times = epoch_span(run); times.epochs > 0) longest.push_back(times.longest);
  if (longest.empty()) return nullptr;
  const Axis axis = axis_from_zero(longest);
  const auto x = [&](double value) { return place(kBarsLeft + axis.position(value) * (kRight - kBarsLeft)); };
  ordered_json rows = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const EpochSpan times = epoch_span(runs[i]);
    rows.push_back({{"top", kBarHeight * static_cast<double>(i)},
                    {"letter", letter_of(i)},
                    {"text", bar_text(runs[i], times)},
                    {"bar", nullptr}});
    if (times.epochs > 0)
      rows.back()["bar"] = {{"style", line_style(i)},
                            {"median", x(times.median)},
                            {"shortest", x(times.shortest)},
                            {"longest", x(times.longest)}};
  }
  const double bottom = kBarHeight * static_cast<double>(runs.size()) + 4;
  return {{"rows", rows},
          {"ticks", ticks_of(axis, kBarsLeft, kRight)},
          {"bottom", bottom},
          {"height", bottom + 44}};
}

}  // namespace

EpochSpan epoch_span(const KnownRun& run) {
  const EpochTimes times = epoch_times(run);
  std::vector<double> seconds = times.timed;
  if (seconds.empty() && times.warm_up) seconds.push_back(*times.warm_up);
  if (seconds.empty()) {
    for (const EpochRecord& epoch : run.epochs) seconds.push_back(epoch.seconds);
  }
  std::erase_if(seconds, [](double value) { return !std::isfinite(value) || value < 0; });
  if (seconds.empty()) return {};
  const Spread spread = spread_of(seconds);
  return {spread.median, spread.least, spread.most, seconds.size()};
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "unknown";
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e9) return fmt::format("{:g} s", seconds);
  const auto whole = static_cast<long long>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
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
