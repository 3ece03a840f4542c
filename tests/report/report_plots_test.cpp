// The drawing of a run's page: axes that show what matters, lines that survive gaps, few points and many.
#include <gtest/gtest.h>
#include <limits>
#include <set>

#include "tests/runs/made_up_runs.hpp"
#include "trainer/report/report_page.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using Json = nlohmann::ordered_json;
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

std::size_t count_of(const Json& text, const std::string& part) {
  return test::count_of(text.get<std::string>(), part);
}

TEST(ReportCurves, DrawEveryPointAndTellTheNumbersOfSome) {
  const Json few = training_curves({test::made_up_run(5)})["plots"][0]["lines"][0];
  EXPECT_EQ(few["points"].size(), 5U);
  EXPECT_EQ(few["points"][2]["text"], "test, epoch 3: 82.33 %");
  EXPECT_EQ(few["marker"], "marker");
  const Json many = training_curves({test::made_up_run(1000)})["plots"][0]["lines"][0];
  EXPECT_EQ(count_of(many["path"], "M") + count_of(many["path"], "L"), 1000U);
  EXPECT_LE(many["points"].size(), 161U);
  EXPECT_GE(many["points"].size(), 100U);
  EXPECT_EQ(many["points"].back()["text"], "test, epoch 1000: 98.95 %");
  EXPECT_EQ(many["marker"], "unseen") << "so many would hide the line";
}

TEST(ReportCurves, BreakALineWhereAValueIsNotFinite) {
  KnownRun run = test::made_up_run(4);
  run.epochs[2].test.loss = kNaN;
  const Json loss = training_curves({run})["plots"][1];
  const Json test = loss["lines"][1];
  EXPECT_EQ(count_of(test["path"], "M"), 2U) << test["path"];
  EXPECT_EQ(count_of(test["path"], "L"), 1U) << test["path"];
  EXPECT_EQ(count_of(test["path"], "nan"), 0U);
  EXPECT_EQ(test["points"].size(), 3U);
  EXPECT_TRUE(loss["note"].get<std::string>().starts_with("test: not finite at epoch 3. ")) << loss["note"];
}

TEST(ReportCurves, DrawOnePointAndLeaveOutWhatHasNone) {
  KnownRun run = test::made_up_run(1);
  EXPECT_EQ(training_curves({run})["plots"][0]["lines"][0]["points"].size(), 1U);
  run.epochs[0].train_loss = run.epochs[0].test.loss = kInfinity;
  const Json plots = training_curves({run})["plots"];
  EXPECT_EQ(plots.size(), 3U);
  EXPECT_EQ(plots[1]["title"], "Time of an epoch, seconds");
}

TEST(ReportCurves, TellTwelveLinesApartAndNeighboursByMoreThanColour) {
  std::set<std::string> styles;
  for (std::size_t i = 0; i < 12; ++i) {
    styles.insert(line_style(i));
    EXPECT_NE(line_style(i).substr(3), line_style(i + 1).substr(3)) << i;
  }
  EXPECT_EQ(styles.size(), 12U);
}

TEST(ReportCurves, ShowOneRunAndSeveral) {
  const Json one = training_curves({test::made_up_run(5)});
  EXPECT_EQ(one["plots"].size(), 4U);
  EXPECT_EQ(one["plots"][0]["legend"], false);
  EXPECT_EQ(one["times"], nullptr);
  KnownRun other = test::made_up_run(3);
  other.record.model = "other";
  const Json two = training_curves({test::made_up_run(5), other});
  EXPECT_EQ(two["plots"].size(), 3U);
  EXPECT_EQ(two["plots"][0]["legend"], true);
  EXPECT_EQ(two["plots"][0]["lines"][0]["name"], "A made-up");
  EXPECT_EQ(two["plots"][0]["lines"][1]["name"], "B other");
  EXPECT_EQ(two["times"]["rows"][1]["text"], "other: 1.02 s (1.02 s to 1.03 s), 1,000 images");
}

TEST(ReportCurves, ShowValidationWhereThereIsOne) {
  KnownRun run = test::made_up_run(2);
  for (EpochRecord& epoch : run.epochs) epoch.validation = Score{100, 0.5, 0.5};
  const Json plots = training_curves({run})["plots"];
  EXPECT_EQ(plots[0]["title"], "Accuracy, %");
  EXPECT_EQ(plots[0]["lines"][1]["points"][0]["text"], "validation, epoch 1: 50.00 %");
  EXPECT_EQ(plots[1]["lines"].size(), 3U);
}

TEST(ReportCurves, CountASprintsSeeds) {
  KnownRun sprint = test::made_up_run(5);
  sprint.sprint = SprintFound{0.99, 0.001, 0.2};
  const Json plots = training_curves({sprint})["plots"];
  EXPECT_EQ(plots[0]["x_title"], "seed") << "its epochs are seeds";
  EXPECT_EQ(plots[2]["title"], "Time of a seed, seconds");
  const Json with_epochs = training_curves({sprint, test::made_up_run(3)})["plots"];
  EXPECT_EQ(with_epochs[0]["x_title"], "epoch, or seed of a sprint");
}

TEST(ReportCurves, AreNothingWhereThereIsNoEvaluation) {
  EXPECT_EQ(training_curves({test::made_up_run(0)}), nullptr);
  EXPECT_EQ(training_curves({test::made_up_run(0), test::made_up_run(0)}), nullptr);
  const Json mixed = training_curves({test::made_up_run(0), test::made_up_run(2)});
  EXPECT_EQ(mixed["times"]["rows"][0]["text"], "no epoch");
  EXPECT_EQ(mixed["times"]["rows"][0]["bar"], nullptr);
}

TEST(ReportBars, CountWholeEpochsThatAreNoWarmUp) {
  KnownRun run = test::made_up_run(5);
  run.epochs.back().images = 10;
  run.epochs.back().seconds = 0.001;
  EXPECT_EQ(epoch_durations(run), (Values{1.02, 1.03, 1.04}))
      << "neither the first, which warms up, nor the last, which is a piece";
  EXPECT_TRUE(epoch_durations(test::made_up_run(0)).empty());
  EXPECT_EQ(epoch_durations(test::made_up_run(1)).size(), 1U);
  EXPECT_EQ(duration_text(0.0123), "12.3 ms");
  EXPECT_EQ(duration_text(1.646), "1.65 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(kNaN), "unknown");
}

}  // namespace
}  // namespace trainer
