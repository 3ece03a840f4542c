// The elementary functions of the portable engine are as exact as they say: a sample of what all_floats_test.cpp takes whole, what
// they do beyond their range, and those in double.
#include <gtest/gtest.h>
#include <random>

#include "kernels/math/functions.hpp"
#include "tests/kernels/elementary_error.hpp"

namespace trainer {
namespace {

// Under a sanitizer, whose code is slow, fewer values stand for all.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kStride = 999983;
constexpr int kSamples = 2000;
#else
constexpr std::uint64_t kStride = 4093;
constexpr int kSamples = 100000;
#endif

template <typename F>
class PortableFunctions : public testing::Test {};
TYPED_TEST_SUITE(PortableFunctions, ElementaryFunctions);

TYPED_TEST(PortableFunctions, AreAsExactAsTheySay) {
  const Worst worst = worst_over_floats<TypeParam>(kStride);
  EXPECT_LE(worst.error, TypeParam::kMostError) << "at x = " << worst.at;
  EXPECT_LE(worst.floats, TypeParam::kMostFloats);
}

TEST(PortableFunctionsBeyondTheirRange, SaturateAndKeepNan) {
  EXPECT_EQ(portable::exponential(1000.0F), portable::exponential(88.0F));
  EXPECT_EQ(portable::exponential(INFINITY), portable::exponential(88.0F));
  EXPECT_EQ(portable::exponential(-INFINITY), portable::exponential(-87.0F));
  EXPECT_TRUE(std::isnan(portable::exponential(NAN)));
  EXPECT_TRUE(std::isnan((portable::gelu<float, std::uint32_t>(NAN))));
}

// In units in the last place of a double.
double double_error(double got, long double want) {
  const auto nearest = std::abs(static_cast<double>(want));
  const long double step = std::nextafter(nearest, INFINITY) - nearest;
  return static_cast<double>(std::abs(static_cast<long double>(got) - want) / step);
}

TEST(DoubleFunctions, AreWithinTwoUnitsInTheLastPlace) {
  std::mt19937_64 random(1);
  const auto between = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int i = 0; i < kSamples; ++i) {
    const double x = between(-690, 690);
    EXPECT_LE(double_error(exponential_of(x), std::exp(static_cast<long double>(x))), 2) << x;
    for (const double y : {std::exp(x), between(0.5, 2)})
      EXPECT_LE(double_error(logarithm_of(y), std::log(static_cast<long double>(y))), 2) << y;
    const double u = between(-1, 2);
    EXPECT_NEAR(cosine_of_pi(u), static_cast<double>(std::cos(std::acos(-1.0L) * u)), 0x1p-52) << u;
  }
}

TEST(DoubleFunctions, AreExactAtTheEnds) {
  EXPECT_EQ(exponential_of(0), 1);
  EXPECT_EQ(exponential_of(-701), 0);
  EXPECT_EQ(exponential_of(701), INFINITY);
  EXPECT_EQ(logarithm_of(1), 0);
  EXPECT_EQ(power_of(0, 3), 0);
  EXPECT_EQ(power_of(1, 1e6), 1);
  EXPECT_EQ(cosine_of_pi(0), 1);
  EXPECT_EQ(cosine_of_pi(1), -1);
  EXPECT_NEAR(cosine_of_pi(0.5), 0, 1e-16);
}

}  // namespace
}  // namespace trainer
