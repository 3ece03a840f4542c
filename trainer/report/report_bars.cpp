#include "trainer/report/report_bars.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/recipe_text.hpp"
#include "trainer/report/report_axis.hpp"
#include "trainer/report/report_html.hpp"
#include "trainer/runs/epoch_times.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr double kBarsWidth = 480, kBarsLeft = 34, kBarsRight = 14, kBarsRow = 46, kBarsBottom = 44;

std::string bar_text(const KnownRun& run, const EpochSpan& times) {
  std::string text = fmt::format("{}: {}", run.record.model, duration_text(times.median));
  if (times.epochs > 1)
    text += fmt::format(" ({} to {})", duration_text(times.shortest), duration_text(times.longest));
  return text + fmt::format(", {} images", grouped(run.record.data.train_images));
}

// From its top at `y`: the text, the bar below it.
std::string bar(const KnownRun& run, std::size_t index, double y, const Axis& axis) {
  const EpochSpan times = epoch_span(run);
  const auto x = [&](double value) {
    return kBarsLeft + axis.position(value) * (kBarsWidth - kBarsLeft - kBarsRight);
  };
  std::string svg = fmt::format(
      "<text class=\"letter\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n<text class=\"tick\" "
      "x=\"{}\" y=\"{}\">{}</text>\n",
      kBarsLeft - 10, y + 35, letter_of(index), kBarsLeft, y + 16,
      times.epochs == 0 ? "no epoch" : escaped(bar_text(run, times)));
  if (times.epochs == 0) return svg;
  svg += fmt::format("<path class=\"bar c{}\" d=\"M{} {}H{:.1f}v16H{}z\"/>\n", index % 6, kBarsLeft, y + 22,
                     x(times.median), kBarsLeft);
  return svg + fmt::format("<path class=\"whisker\" d=\"M{:.1f} {}H{:.1f}M{:.1f} {}v8M{:.1f} {}v8\"/>\n",
                           x(times.shortest), y + 30, x(times.longest), x(times.shortest), y + 26,
                           x(times.longest), y + 26);
}

std::string ticks(const Axis& axis, double bottom) {
  std::string svg =
      fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n", kBarsLeft, bottom, kBarsWidth - kBarsRight);
  for (const AxisTick& tick : axis.ticks) {
    const double x = kBarsLeft + axis.position(tick.value) * (kBarsWidth - kBarsLeft - kBarsRight);
    svg += fmt::format(
        "<path class=\"axis\" d=\"M{:.1f} {}v5\"/><text class=\"tick\" x=\"{:.1f}\" y=\"{}\" "
        "text-anchor=\"middle\">{}</text>\n",
        x, bottom, x, bottom + 20, tick.label);
  }
  return svg + fmt::format("<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">seconds</text>\n",
                           kBarsWidth - kBarsRight, bottom + 38);
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

std::string epoch_time_bars(const std::vector<KnownRun>& runs) {
  std::vector<double> values;
  for (const KnownRun& run : runs)
    if (const EpochSpan times = epoch_span(run); times.epochs > 0) values.push_back(times.longest);
  if (values.empty()) return "";
  const Axis axis = axis_from_zero(values);
  const double bottom = kBarsRow * static_cast<double>(runs.size()) + 4;
  std::string html = fmt::format(
      "<figure class=\"plot\">\n<figcaption><h3>Time of an epoch, median</h3></figcaption>\n<svg viewBox=\"0 "
      "0 {} {}\" role=\"img\" aria-label=\"Time of an epoch\">\n",
      kBarsWidth, bottom + kBarsBottom);
  for (std::size_t i = 0; i < runs.size(); ++i)
    html += bar(runs[i], i, kBarsRow * static_cast<double>(i), axis);
  return html + ticks(axis, bottom) +
         "</svg>\n<p class=\"note\">Training alone, without the evaluation after it and, of several epochs, "
         "without the first, which warms up; the whisker goes from the shortest to the "
         "longest.</p>\n</figure>\n";
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "unknown";
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.2f} s", seconds);
  if (seconds < 1e9) {
    const auto whole = static_cast<long long>(std::llround(seconds));
    if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
    return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  }
  return fmt::format("{:g} s", seconds);
}

}  // namespace trainer
