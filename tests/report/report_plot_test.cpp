// The drawing of a run's page: axes that show what matters, lines that survive gaps, few points and many.
#include "trainer/report/report_plot.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "tests/runs/made_up_runs.hpp"
#include "trainer/report/report_bars.hpp"
#include "trainer/report/report_curves.hpp"

namespace trainer {
namespace {

using Values = std::vector<double>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::string> labels_of(const Axis& axis) {
  std::vector<std::string> labels;
  for (const AxisTick& tick : axis.ticks) labels.push_back(tick.label);
  return labels;
}

void expect_sound(const Axis& axis) {
  EXPECT_LT(axis.low, axis.high);
  ASSERT_FALSE(axis.ticks.empty());
  EXPECT_LE(axis.ticks.size(), 9U);
  double before = -1;
  for (const AxisTick& tick : axis.ticks) {
    const double position = axis.position(tick.value);
    EXPECT_GT(position, before - 1e-9) << tick.label;
    EXPECT_GE(position, 0);
    EXPECT_LE(position, 1);
    before = position;
  }
}

TEST(ReportAxis, HasRoundTicksAroundItsValues) {
  EXPECT_EQ(labels_of(axis_from_zero(Values{1.7, 2.6, kNaN})),
            (std::vector<std::string>{"0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"}));
  for (const Values& values : {Values{}, Values{0}, Values{7}, Values{-3, -3}, Values{1e11, 1e-9},
                               Values{kNaN}, Values{kInfinity, 2}, Values{99.9999, 100}}) {
    expect_sound(axis_from_zero(values));
    expect_sound(loss_axis(values));
    expect_sound(epoch_axis(values));
    expect_sound(accuracy_axis(values, 0.01));
  }
}

TEST(ReportAxis, GivesAccuraciesNear100PercentRoom) {
  const Axis wide = accuracy_axis(Values{61.0, 97.5, 98.9, 99.3}, 0.01);
  EXPECT_EQ(wide.scale, Axis::Scale::distance_to_100);
  EXPECT_LE(wide.low, 61);
  EXPECT_GE(wide.high, 99.3);
  EXPECT_LT(wide.high, 100);
  EXPECT_GT(wide.position(99.3) - wide.position(98.9), 0.05) << "0.4 points are to be seen";
  const Axis narrow = accuracy_axis(Values{98.9, 99.1}, 0.01);
  EXPECT_EQ(narrow.scale, Axis::Scale::linear);
  EXPECT_LE(narrow.high, 100);
  const Axis perfect = accuracy_axis(Values{50, 100}, 0.01);
  expect_sound(perfect);
  EXPECT_GT(perfect.position(100), 0.9);
  const Axis one = accuracy_axis(Values{98.8}, 0.01);
  EXPECT_GT(one.low, 98);
  EXPECT_LE(one.high, 100);
}

TEST(ReportAxis, CountsEpochsInWholeNumbers) {
  EXPECT_EQ(labels_of(epoch_axis(Values{1})), (std::vector<std::string>{"1"}));
  EXPECT_EQ(labels_of(epoch_axis(Values{1, 2, 3})), (std::vector<std::string>{"1", "2", "3"}));
  const Axis many = epoch_axis(Values{1, 1000});
  EXPECT_EQ(many.low, 1);
  EXPECT_EQ(many.high, 1000);
  EXPECT_EQ(labels_of(many), (std::vector<std::string>{"200", "400", "600", "800", "1000"}));
}

TEST(ReportAxis, ShowsLossesOfManySizesOnALogarithmicScale) {
  EXPECT_EQ(loss_axis(Values{0.2, 0.4}).scale, Axis::Scale::linear);
  const Axis axis = loss_axis(Values{2.3, 0.01, 0, kNaN});
  EXPECT_EQ(axis.scale, Axis::Scale::logarithmic);
  EXPECT_NEAR(axis.low, 0.01, 1e-9);
  EXPECT_NEAR(axis.position(0), 0, 1e-9) << "what has no logarithm lies at the lower end";
}

std::vector<PlotPoint> points_of(const Values& values) {
  std::vector<PlotPoint> points;
  for (const double value : values) points.push_back({static_cast<double>(points.size() + 1), value, "text"});
  return points;
}

TEST(ReportPlot, ThinsWithoutLosingEndsSpikesAndGaps) {
  Values values(1000, 0.5);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.0001 * static_cast<double>(i % 7);
  values[333] = 9;
  values[444] = -9;
  values[555] = kNaN;
  const std::vector<PlotPoint> kept = thinned(points_of(values), 100);
  EXPECT_LE(kept.size(), 100U);
  EXPECT_GE(kept.size(), 50U);
  EXPECT_EQ(kept.front().x, 1);
  EXPECT_EQ(kept.back().x, 1000);
  const auto has = [&](double x) {
    return std::any_of(kept.begin(), kept.end(), [x](const PlotPoint& point) { return point.x == x; });
  };
  EXPECT_TRUE(has(334) && has(445) && has(556));
  EXPECT_TRUE(
      std::is_sorted(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.x < b.x; }));
  EXPECT_EQ(thinned(points_of({1, 2, 3}), 100).size(), 3U);
}

Plot plot_of(const Values& values) {
  Plot plot{"A <title>", "epoch", epoch_axis(Values{1, 4}), axis_from_zero(values), {}, ""};
  plot.lines.push_back({"a <line>", 0, points_of(values)});
  return plot;
}

std::string path_of(const std::string& figure) {
  const std::string begin = "<path class=\"line c0 d0\" d=\"";
  const std::size_t at = figure.find(begin) + begin.size();
  return figure.substr(at, figure.find('"', at) - at);
}

TEST(ReportPlot, BreaksALineWhereAValueIsNotFinite) {
  const std::string path = path_of(plot_figure(plot_of({1, 2, kNaN, 4})));
  EXPECT_EQ(test::count_of(path, "M"), 2U) << path;
  EXPECT_EQ(test::count_of(path, "L"), 1U) << path;
  EXPECT_EQ(path.find("nan"), std::string::npos);
}

TEST(ReportPlot, DrawsOnePointAndNone) {
  const std::string one = plot_figure(plot_of({1}));
  EXPECT_EQ(test::count_of(one, "<title>"), 1U);
  const std::string none = plot_figure(plot_of({}));
  EXPECT_EQ(test::count_of(none, "<title>"), 0U);
  for (const std::string& figure : {one, none}) {
    EXPECT_EQ(test::nesting_fault(figure), "");
    EXPECT_EQ(figure.find("A <title>"), std::string::npos);
  }
}

TEST(ReportPlot, TellsLinesApartByMoreThanColour) {
  Plot plot = plot_of({1, 2});
  plot.lines.push_back({"second", 1, points_of({2, 1})});
  const std::string figure = plot_figure(plot);
  EXPECT_NE(figure.find("a &lt;line&gt;"), std::string::npos) << "the legend";
  EXPECT_NE(figure.find("c0 d0"), std::string::npos);
  EXPECT_NE(figure.find("c1 d1"), std::string::npos);
}

TEST(ReportCurves, ShowOneRunAndSeveral) {
  const std::string one = training_curves({test::made_up_run(5)});
  EXPECT_EQ(test::count_of(one, "<figure"), 4U);
  EXPECT_EQ(test::nesting_fault(one), "");
  KnownRun other = test::made_up_run(3);
  other.record.model = "<other>";
  const std::string two = training_curves({test::made_up_run(5), other});
  EXPECT_NE(two.find("A made-up"), std::string::npos);
  EXPECT_NE(two.find("B &lt;other&gt;"), std::string::npos);
  EXPECT_EQ(two.find("<other>"), std::string::npos);
  EXPECT_EQ(test::nesting_fault(two), "");
}

TEST(ReportCurves, CountASprintsSeeds) {
  KnownRun sprint = test::made_up_run(5);
  sprint.sprint = SprintFound{0.99, 0.001, 0.2};
  const std::string seeds = training_curves({sprint});
  EXPECT_NE(seeds.find(">seed</text>"), std::string::npos) << "its epochs are seeds";
  EXPECT_NE(seeds.find("Time of a seed"), std::string::npos);
  EXPECT_EQ(seeds.find(">epoch</text>"), std::string::npos);
  const std::string with_epochs = training_curves({sprint, test::made_up_run(3)});
  EXPECT_NE(with_epochs.find(">epoch, or seed of a sprint</text>"), std::string::npos);
}

TEST(ReportCurves, SayWhyThereAreNone) {
  EXPECT_NE(training_curves({test::made_up_run(0)}).find("There are no curves"), std::string::npos);
  EXPECT_NE(training_curves({test::made_up_run(0), test::made_up_run(0)}).find("There are no curves"),
            std::string::npos);
  const std::string mixed = training_curves({test::made_up_run(0), test::made_up_run(2)});
  EXPECT_NE(mixed.find("no epoch"), std::string::npos);
}

TEST(ReportCurves, KeepTheirSizeOverAThousandEpochsAndNameALossThatIsNotFinite) {
  KnownRun run = test::made_up_run(1000);
  run.epochs.back().train_loss = kNaN;
  run.epochs.back().test.loss = kInfinity;
  const std::string html = training_curves({run});
  EXPECT_LT(html.size(), 200'000U);
  EXPECT_NE(html.find("training: not finite at epoch 1000"), std::string::npos);
  EXPECT_NE(html.find("test: not finite at epoch 1000"), std::string::npos);
}

TEST(ReportBars, CountWholeEpochsThatAreNoWarmUp) {
  KnownRun run = test::made_up_run(5);
  run.epochs.back().images = 10;
  run.epochs.back().seconds = 0.001;
  const EpochSpan times = epoch_span(run);
  EXPECT_EQ(times.epochs, 3U) << "neither the first, which warms up, nor the last, which is a piece";
  EXPECT_DOUBLE_EQ(times.shortest, 1.02);
  EXPECT_DOUBLE_EQ(times.longest, 1.04);
  EXPECT_EQ(epoch_span(test::made_up_run(0)).epochs, 0U);
  EXPECT_EQ(epoch_span(test::made_up_run(1)).epochs, 1U);
  EXPECT_EQ(duration_text(0.0123), "12.3 ms");
  EXPECT_EQ(duration_text(1.646), "1.65 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(kNaN), "unknown");
}

}  // namespace
}  // namespace trainer
