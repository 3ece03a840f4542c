// The picture of a run in progress, drawn for runs that no machine has made.
#include <cmath>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/runs/known_runs.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/text.hpp"

namespace trainer::test {
namespace {

KnownRun running(const std::vector<double>& seconds, unsigned epochs) {
  KnownRun run = known_run("a-run", seconds);
  run.record.status = RunStatus::kRunning;
  run.record.reason = "";
  run.record.recipe["epochs"] = epochs;
  return run;
}

std::string second_line(const KnownRun& run, std::optional<double> waited) {
  const std::string view = live_view(run, waited, "", {});
  const std::size_t begin = view.find('\n') + 1;
  return view.substr(begin, view.find('\n', begin) - begin);
}

TEST(LiveView, DrawsCurvesOfBlocks) {
  EXPECT_EQ(live_view(running({1, 1, 1}, 5), 0.5, "GPU: fine\n", {24, 12, true}),
            "a-run  running\n"
            "epoch 3 of 5  2 s left  \n"
            "test accuracy 96.00 %\n"
            " 96.00 %          ████\n"
            "              ▄▄▄▄████\n"
            " 90.00 %  ▁▁▁▁████████\n"
            "test loss 0.3333\n"
            "  1.0000  ████        \n"
            "          ████        \n"
            "  0.3333  ████▆▆▆▆▁▁▁▁\n"
            "GPU: fine\n");
}

TEST(LiveView, DrawsWithoutUnicode) {
  const std::string view = live_view(running({1, 1, 1}, 5), 0.5, "", {80, 11, false});
  EXPECT_NE(view.find("\n 90.00 %  ....########\n"), std::string::npos) << view;
  for (const char c : view) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
}

TEST(LiveView, FitsAnyTerminal) {
  const KnownRun run = running(std::vector<double>(200, 1), 300);
  for (const int columns : {0, 1, 9, 10, 11, 24, 79, 300})
    for (const int rows : {0, 1, 2, 5, 7, 24, 100}) {
      std::istringstream view(live_view(run, 0, "GPU: fine\n", {columns, rows, true}));
      int lines = 0;
      for (std::string line; std::getline(view, line); ++lines)
        EXPECT_LE(columns_of(line), static_cast<std::size_t>(columns));
      EXPECT_LT(lines, std::max(rows, 1)) << columns << "x" << rows;
    }
}

TEST(LiveView, ShowsTheLastEvaluationOfMany) {
  KnownRun run = running(std::vector<double>(1000, 1), 1000);
  for (EpochRecord& epoch : run.epochs) epoch.test.accuracy = 0.5;
  run.epochs.back().test.accuracy = run.epochs.front().test.accuracy = 0.6;
  const std::string view = live_view(run, 0, "", {1010, 7, false});
  EXPECT_NE(view.find("60.00 %"), std::string::npos);
  EXPECT_NE(view.find("\n 50.00 %  #.."), std::string::npos) << view;
  EXPECT_NE(view.find("..#\n"), std::string::npos) << view;
}

TEST(LiveView, LeavesWhatIsNotFiniteBlank) {
  KnownRun run = running({1, 1, 1}, 3);
  run.epochs[1].test.loss = NAN;
  EXPECT_NE(live_view(run, 0, "", {80, 7, false}).find("\n  0.3333  ####    ....\n"), std::string::npos);
  run.epochs[0].test.loss = -1.7e308;  // a range that no number holds
  run.epochs[1].test.loss = 1.7e308;
  EXPECT_NE(live_view(run, 0, "", {80, 7, false}).find("test loss"), std::string::npos);
  for (EpochRecord& epoch : run.epochs) epoch.test.loss = NAN;
  EXPECT_NE(live_view(run, 0, "", {80, 7, false}).find("\ntest loss nan\n"), std::string::npos);
}

TEST(LiveView, EstimatesTheTimeLeft) {
  const KnownRun run = running({5, 1, 1}, 10);
  EXPECT_EQ(second_line(run, 0.1), "epoch 3 of 10  8 s left  1,000 images/s")
      << "7 x 1.1 s, without the warm-up";
  EXPECT_EQ(second_line(run, 100), "epoch 3 of 10  7 s left  1,000 images/s")
      << "those after this one are left";
  EXPECT_EQ(second_line(run, std::nullopt), "epoch 3 of 10  1,000 images/s") << "it is over";
  EXPECT_EQ(second_line(running({1, 1}, 2), 0), "epoch 2 of 2  0 s left  1,000 images/s");
  EXPECT_EQ(second_line(running({}, 2), 0), "no evaluation yet");
}

TEST(LiveView, CountsTheEvaluationsOfARecipeOfSteps) {
  KnownRun run = running({1}, 1);
  run.record.recipe.erase("epochs");
  EXPECT_EQ(second_line(run, 0), "epoch 1  1,000 images/s");
  run.record.recipe["steps"] = 9U;
  EXPECT_EQ(second_line(run, 0), "epoch 1 of 3  3 s left  1,000 images/s") << "4 steps each";
}

TEST(LiveView, KnowsASprint) {
  KnownRun run = running({1, 1}, 1);
  run.record.command = {"trainer", "sprint", "--seeds", "5"};
  EXPECT_EQ(second_line(run, 0), "seed 2  1,000 images/s");
}

TEST(LiveView, LinesOfAPipe) {
  const KnownRun run = running({1, 2}, 4);
  EXPECT_EQ(evaluation_line(run, run.epochs[1]),
            "epoch 2 of 4  train loss 0.0000  test 93.00 %, loss 0.5000  2.000 s  500 images/s");
  KnownRun failed = known_run("a\x1b[31m", {1});
  failed.record.status = RunStatus::kFailed;
  failed.record.reason = "line\nline";
  EXPECT_EQ(status_line(failed), "a?[31m  failed: line?line");
}

}  // namespace
}  // namespace trainer::test
