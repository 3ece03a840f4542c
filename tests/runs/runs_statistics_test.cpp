// Ranks, ratios and times against values worked out apart from this program: the ranks by going through every
// order of both samples (and tables of Mann-Whitney critical values agree: the rank is one more), the ratios
// by hand.
#include <cmath>
#include <gtest/gtest.h>

#include "tests/runs/known_runs.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

struct Rank {
  std::size_t m, n, rank;
};

TEST(RankInterval, HasTheRanksOfTheMannWhitneyStatistic) {
  for (const Rank& known : {Rank{1, 2, 0},
                            {3, 3, 0},
                            {3, 4, 0},
                            {2, 7, 0},
                            {3, 5, 1},
                            {4, 4, 1},
                            {2, 8, 1},
                            {4, 6, 3},
                            {5, 5, 3},
                            {6, 6, 6},
                            {5, 8, 7},
                            {7, 7, 9},
                            {8, 8, 14},
                            {9, 9, 18},
                            {10, 10, 24},
                            {20, 20, 128}}) {
    EXPECT_EQ(interval_rank(known.m, known.n), known.rank) << known.m << " and " << known.n;
    EXPECT_EQ(interval_rank(known.n, known.m), known.rank) << known.n << " and " << known.m;
  }
}

// 312.5 - 1.96 sqrt(25 * 25 * 51 / 12) = 211.5 is what the approximation gives where both can be had.
TEST(RankInterval, TheApproximationGoesOnWhereTheExactRankEnds) {
  EXPECT_NEAR(static_cast<double>(interval_rank(25, 25)), 211.5, 1);
  EXPECT_NEAR(static_cast<double>(interval_rank(26, 25)), 325 - 1.96 * std::sqrt(650 * 52 / 12.0), 1);
}

TEST(RankInterval, GivesTheMedianRatioAndItsInterval) {
  const RatioEstimate estimate =
      estimate_ratio({2.10, 2.02, 1.98, 2.25, 2.05}, {1.01, 1.07, 0.99, 1.03, 1.10, 1.00});
  EXPECT_NEAR(estimate.ratio, 2.009975124224178, 1e-12) << "the root of 2.00 times 2.02, the middle of 30";
  ASSERT_TRUE(estimate.low && estimate.high);
  EXPECT_NEAR(*estimate.low, 2.05 / 1.10, 1e-12) << "the 4th smallest";
  EXPECT_NEAR(*estimate.high, 2.25 / 1.03, 1e-12) << "the 4th largest";
}

TEST(RankInterval, OfTheInverseIsTheInverse) {
  const std::vector<double> a{3.1, 2.9, 3.3, 3.0, 3.2, 2.8};
  const std::vector<double> b{1.9, 2.1, 2.0, 2.2};
  const RatioEstimate estimate = estimate_ratio(a, b);
  const RatioEstimate inverse = estimate_ratio(b, a);
  EXPECT_NEAR(estimate.ratio * inverse.ratio, 1, 1e-12);
  ASSERT_TRUE(estimate.low && inverse.low);
  EXPECT_NEAR(*estimate.low * *inverse.high, 1, 1e-12);
}

TEST(RankInterval, SamplesThatAreTooSmallHaveNone) {
  EXPECT_FALSE(estimate_ratio({1, 2, 3}, {1, 2, 3}).low);
  EXPECT_DOUBLE_EQ(estimate_ratio({6}, {2}).ratio, 3);
  const RatioEstimate alike = estimate_ratio({2, 2, 2, 2}, {1, 1, 1, 1});
  EXPECT_DOUBLE_EQ(alike.low.value(), 2);
  EXPECT_DOUBLE_EQ(alike.high.value(), 2);
}

TEST(RankInterval, OfLongRunsTheEndIsTaken) {
  std::vector<double> changing(5000, 9.0);
  std::fill(changing.end() - 1000, changing.end(), 2.0);
  EXPECT_DOUBLE_EQ(estimate_ratio(changing, {1.0}).ratio, 2);
}

TEST(EpochTimes, WarmUpsAndPartsOfEpochsAreNotTimed) {
  KnownRun run = known_run("r", {5, 2, 3, 4, 1});
  run.epochs[4].images = 250;
  EpochTimes times = epoch_times(run);
  EXPECT_EQ(times.warm_up, 5);
  EXPECT_EQ(times.timed, (std::vector<double>{2, 3, 4}));
  run.record.resumed.push_back({{}, "", 8});  // after the second epoch
  EXPECT_EQ(epoch_times(run).timed, (std::vector<double>{2, 4}));
  run.record.resumed.push_back({{}, "", 14});  // in the middle of the fourth
  EXPECT_EQ(epoch_times(run).timed, (std::vector<double>{2}));
  run.epochs[0].images = 1;
  EXPECT_FALSE(epoch_times(run).warm_up);
  EXPECT_TRUE(epoch_times(known_run("r", {})).timed.empty());
}

TEST(EpochTimes, SecondsAreThoseOfTheSummaryOrTheMedian) {
  KnownRun run = known_run("r", {5, 2, 4, 1});
  EXPECT_EQ(runs_json({run})[0]["epoch_seconds"], 3);
  EXPECT_EQ(runs_json({run})[0]["images_per_second"], 375) << "of 200, 500, 250, 1000";
  run.record.results = {{"epoch_seconds", {{"median", 4}}}};
  EXPECT_EQ(runs_json({run})[0]["epoch_seconds"], 4);
  EXPECT_EQ(runs_json({known_run("r", {})})[0]["epoch_seconds"], nullptr);
}

TEST(RunComparison, TheTimeToAnAccuracyCountsTrainingAndTests) {
  const std::vector<KnownRun> run{known_run("r", {5, 2, 3, 4})};  // 0.90, 0.93, 0.96, 0.99
  const auto compared = compare_runs(run, {.accuracy = 0.95, .prices = {}})[0];
  EXPECT_EQ(compared["reached"]["epoch"], 3);
  EXPECT_NEAR(compared["reached"]["seconds"], 11, 1e-12);
  EXPECT_EQ(compared["best_accuracy"], 0.99);
  EXPECT_EQ(compare_runs(run, {.accuracy = 0.995, .prices = {}})[0]["reached"], nullptr);
}

TEST(RunComparison, MeasuresAgainstTheFirstRun) {
  std::vector<KnownRun> runs{known_run("a", {9, 2, 2.2, 2.1, 2}), known_run("b", {3, 1, 1.1, 1, 1.05}),
                             known_run("c", {3})};
  runs[1].record.results = {{"energy_joules", 120.5}};
  const auto compared = compare_runs(runs, {.accuracy = 0.92, .prices = {36, 72, 1}});
  EXPECT_DOUBLE_EQ(compared[0]["epoch_seconds"]["median"], 2.05);
  EXPECT_NEAR(compared[0]["images_per_second"], 1000 / 2.05, 1e-9);
  EXPECT_DOUBLE_EQ(compared[1]["epoch_seconds"]["min"], 1);
  EXPECT_DOUBLE_EQ(compared[1]["epoch_seconds"]["max"], 1.1);
  EXPECT_NEAR(compared[1]["speed"]["ratio"], 2, 1e-9) << "of 1.818 to 2.2 in sixteen ratios, six of them 2";
  EXPECT_NEAR(compared[1]["speed"]["low"], 2 / 1.1, 1e-9);
  EXPECT_NEAR(compared[1]["speed"]["high"], 2.2, 1e-9);
  EXPECT_EQ(compared[2]["speed"], nullptr);
  EXPECT_EQ(compared[1]["energy_joules"], 120.5);
  EXPECT_NEAR(compared[0]["cost"], 17.3 * 1.1 * 36 / 3600, 1e-9);
  EXPECT_NEAR(compared[1]["cost_to_accuracy"], 4 * 1.1 * 72 / 3600, 1e-9);
  EXPECT_EQ(compared[2]["cost_to_accuracy"], nullptr);
  EXPECT_THROW((void)compare_runs(runs, {.accuracy = 0.99, .prices = {1, 2}}), UsageError);
}

TEST(RunComparison, EpochsOfDifferentSizesCompareByTheImage) {
  std::vector<KnownRun> runs{known_run("a", {2, 2, 2, 2, 2}), known_run("b", {2, 2, 2, 2, 2})};
  runs[1].record.data.train_images = 500;
  for (EpochRecord& epoch : runs[1].epochs) epoch.images = 500;
  EXPECT_DOUBLE_EQ(compare_runs(runs, {})[1]["speed"]["ratio"], 0.5);
}

}  // namespace
}  // namespace trainer::test
