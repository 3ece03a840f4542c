#include "trainer/report/report_curves.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <limits>

#include "trainer/report/report_bars.hpp"
#include "trainer/report/report_html.hpp"
#include "trainer/report/report_plot.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A number of an epoch; NaN where it has none.
using Quantity = std::function<double(const EpochRecord&)>;
using ValueText = std::function<std::string(double)>;

// Numbers that no training gives would leave the rest no room.
double plottable(double value) {
  if (std::abs(value) < 1e-30) return 0;
  return std::abs(value) < 1e12 ? value : kNaN;
}

double percent(double accuracy) {
  return std::isfinite(accuracy) ? 100 * std::clamp(accuracy, 0.0, 1.0) : kNaN;
}

double train_loss(const EpochRecord& epoch) {
  return epoch.train_loss;
}
double test_loss(const EpochRecord& epoch) {
  return epoch.test.loss;
}
double validation_loss(const EpochRecord& epoch) {
  return epoch.validation ? epoch.validation->loss : kNaN;
}
double test_accuracy(const EpochRecord& epoch) {
  return percent(epoch.test.accuracy);
}
double validation_accuracy(const EpochRecord& epoch) {
  return epoch.validation ? percent(epoch.validation->accuracy) : kNaN;
}
double learning_rate(const EpochRecord& epoch) {
  return epoch.learning_rate;
}
double seconds(const EpochRecord& epoch) {
  return epoch.seconds;
}

std::string percent_of(double value) {
  return fmt::format("{:.2f} %", value);
}
std::string plain(double value) {
  return fmt::format("{:.4g}", value);
}

struct LineSource {
  std::string name;
  const KnownRun* run = nullptr;
  Quantity quantity;
};

struct PlotSource {
  std::string title;
  std::vector<LineSource> lines;
  ValueText text;
  std::function<Axis(const std::vector<double>&)> axis;
};

PlotLine line_of(const LineSource& source, int style, const ValueText& text) {
  PlotLine line{source.name, style, {}};
  for (const EpochRecord& epoch : source.run->epochs) {
    const double value = plottable(source.quantity(epoch));
    line.points.push_back(
        {static_cast<double>(epoch.epoch), value,
         fmt::format("{}, {} {}: {}", source.name, epoch_word(*source.run), epoch.epoch, text(value))});
  }
  return line;
}

// "train loss: not finite in epoch 3"; where it began.
std::string gap_text(const PlotLine& line, const char* word) {
  const auto gap =
      std::ranges::find_if(line.points, [](const PlotPoint& point) { return !std::isfinite(point.y); });
  if (gap == line.points.end()) return "";
  return fmt::format("{}: not finite at {} {}. ", line.name, word, static_cast<long long>(gap->x));
}

// Of the axis that all lines share.
std::string axis_word(const std::vector<LineSource>& lines) {
  const auto sprints = static_cast<std::size_t>(
      std::ranges::count_if(lines, [](const LineSource& s) { return s.run->sprint.has_value(); }));
  if (sprints == 0) return "epoch";
  return sprints == lines.size() ? "seed" : "epoch, or seed of a sprint";
}

// Empty where no line has a number.
std::string figure(const PlotSource& source) {
  Plot plot{source.title, axis_word(source.lines), {}, {}, {}, ""};
  std::vector<double> epochs, values;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    PlotLine line = line_of(source.lines[i], static_cast<int>(i), source.text);
    plot.note += gap_text(line, epoch_word(*source.lines[i].run));
    for (const PlotPoint& point : line.points) {
      epochs.push_back(point.x);
      values.push_back(point.y);
    }
    plot.lines.push_back(std::move(line));
  }
  if (std::ranges::none_of(values, [](double value) { return std::isfinite(value); })) return "";
  plot.x = epoch_axis(epochs);
  plot.y = source.axis(values);
  if (plot.y.scale == Axis::Scale::distance_to_100) plot.note += "The scale widens towards 100 %.";
  if (plot.y.scale == Axis::Scale::logarithmic) plot.note += "Logarithmic scale.";
  return plot_figure(plot);
}

std::function<Axis(const std::vector<double>&)> accuracy_axis_of(const std::vector<KnownRun>& runs) {
  std::uint64_t images = 1;
  for (const KnownRun& run : runs) images = std::max(images, run.record.data.test_images);
  return [images](const std::vector<double>& values) {
    return accuracy_axis(values, 100 / static_cast<double>(images));
  };
}

bool validated(const KnownRun& run) {
  return std::ranges::any_of(run.epochs, [](const EpochRecord& e) { return e.validation.has_value(); });
}

std::string one_run(const std::vector<KnownRun>& runs) {
  const KnownRun& run = runs.front();
  std::vector<LineSource> accuracy{{"test", &run, test_accuracy}};
  std::vector<LineSource> loss{{"training", &run, train_loss}, {"test", &run, test_loss}};
  if (validated(run)) {
    accuracy.push_back({"validation", &run, validation_accuracy});
    loss.push_back({"validation", &run, validation_loss});
  }
  const std::string title = validated(run) ? "Accuracy, %" : "Test accuracy, %";
  return figure({title, accuracy, percent_of, accuracy_axis_of(runs)}) +
         figure({"Loss", loss, plain, loss_axis}) +
         figure({fmt::format("Time of {} {}, seconds", run.sprint ? "a" : "an", epoch_word(run)),
                 {{"time", &run, seconds}},
                 duration_text,
                 axis_from_zero}) +
         figure({"Learning rate at the epoch's end", {{"rate", &run, learning_rate}}, plain, loss_axis});
}

std::string several_runs(const std::vector<KnownRun>& runs) {
  const auto of_each = [&](const Quantity& quantity) {
    std::vector<LineSource> lines;
    for (std::size_t i = 0; i < runs.size(); ++i)
      lines.push_back({fmt::format("{} {}", letter_of(i), runs[i].record.model), &runs[i], quantity});
    return lines;
  };
  return figure({"Test accuracy, %", of_each(test_accuracy), percent_of, accuracy_axis_of(runs)}) +
         figure({"Test loss", of_each(test_loss), plain, loss_axis}) +
         figure({"Training loss", of_each(train_loss), plain, loss_axis}) + epoch_time_bars(runs);
}

}  // namespace

std::string training_curves(const std::vector<KnownRun>& runs) {
  const std::string figures = runs.size() == 1 ? one_run(runs) : several_runs(runs);
  if (figures.empty())
    return missing_part("There are no curves: the training ended before the first evaluation was recorded.");
  return fmt::format("<div class=\"plots\">\n{}</div>\n", figures);
}

}  // namespace trainer
