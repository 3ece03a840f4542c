// Speed and time left, by times that the test gives.
#include <gtest/gtest.h>

#include "trainer/train/training_observer.hpp"

namespace trainer {
namespace {

TEST(Pace, KnowsNothingBeforeASecondOfTraining) {
  Pace pace(100);
  EXPECT_FALSE(pace.images_per_second());
  EXPECT_FALSE(pace.seconds_left(1000, 1));
  pace.trained(50, 7);
  pace.trained(500, 7.9);
  EXPECT_FALSE(pace.images_per_second());
  pace.trained(1050, 8);
  EXPECT_DOUBLE_EQ(pace.images_per_second().value_or(0), 1000);
}

TEST(Pace, CountsTheEvaluationsThatAreToCome) {
  Pace pace(500);
  pace.trained(0, 10);
  pace.trained(2000, 12);
  EXPECT_DOUBLE_EQ(pace.seconds_left(3000, 4).value_or(0), 3 + 4 * 0.5) << "by the arithmetic of both";
  pace.evaluated(1);
  pace.trained(3000, 14);
  EXPECT_DOUBLE_EQ(pace.images_per_second().value_or(0), 1000) << "the evaluation is no training";
  EXPECT_DOUBLE_EQ(pace.seconds_left(2000, 3).value_or(0), 2 + 3 * 1.0) << "by the one that was timed";
  EXPECT_DOUBLE_EQ(pace.seconds_left(0, 0).value_or(1), 0);
}

TEST(Pace, IsSteadyWhereOneLaunchIsSlow) {
  Pace pace(0);
  for (int second = 0; second <= 100; ++second) pace.trained(1000.0 * second, second);
  const double before = pace.seconds_left(100'000, 0).value_or(0);
  pace.trained(101'000, 105);
  EXPECT_NEAR(pace.seconds_left(100'000, 0).value_or(0), before, 0.05 * before);
}

TEST(Pace, NoImagesAreNoSpeed) {
  Pace pace(1);
  pace.trained(10, 0);
  pace.trained(10, 5);
  EXPECT_FALSE(pace.seconds_left(10, 0));
}

}  // namespace
}  // namespace trainer
