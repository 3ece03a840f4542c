// The median and the ends of a few measurements.
#include "trainer/system/statistics.hpp"

#include <gtest/gtest.h>

namespace trainer::test {
namespace {

using Doubles = std::vector<double>;

TEST(Median, OfAnOddNumberIsTheMiddleOne) {
  EXPECT_EQ(median(Doubles{3, 1, 2}), 2);
  EXPECT_EQ(median(Doubles{7}), 7);
  EXPECT_EQ(median(std::vector<float>{9, 1, 4, 4, 0}), 4);
}

TEST(Median, OfAnEvenNumberIsTheMeanOfTheTwoMiddleOnes) {
  EXPECT_EQ(median(Doubles{3, 1}), 2);
  EXPECT_EQ(median(Doubles{4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median(Doubles{10, 1, 1, 10, 5, 2}), 3.5);
  EXPECT_EQ(median(std::vector<float>{1, 2}), 1.5F);
}

TEST(Spread, HasTheMedianAndBothEnds) {
  const Spread spread = spread_of({4, 1, 3, 2});
  EXPECT_EQ(spread.median, 2.5);
  EXPECT_EQ(spread.least, 1);
  EXPECT_EQ(spread.most, 4);
  EXPECT_EQ(spread_of({7}).most, 7);
}

}  // namespace
}  // namespace trainer::test
