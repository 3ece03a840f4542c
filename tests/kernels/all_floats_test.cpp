// The elementary functions of the portable engine over all floats of their range, and powers over the bases and exponents that
// optimisers and schedules use. Minutes: ctest's label long.
#include <gtest/gtest.h>

#include "kernels/math/functions.hpp"
#include "tests/kernels/elementary_error.hpp"

namespace trainer {
namespace {

// Under a sanitizer, whose code is slow, fewer values stand for all.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kStride = 99991;
constexpr int kStepStride = 997;
#else
constexpr std::uint64_t kStride = 1;
constexpr int kStepStride = 1;
#endif

template <typename F>
class AllFloats : public testing::Test {};
TYPED_TEST_SUITE(AllFloats, ElementaryFunctions);

TYPED_TEST(AllFloats, AreAsExactAsTheySay) {
  const Worst worst = worst_over_floats<TypeParam>(kStride);
  this->RecordProperty("error", std::to_string(worst.error));
  EXPECT_LE(worst.error, TypeParam::kMostError) << "at x = " << worst.at;
  EXPECT_LE(worst.floats, TypeParam::kMostFloats);
}

// A power rounded to float is the float nearest to the exact value, but for ties that double cannot tell.
double power_error(double base, double exponent) {
  const long double want = std::pow(static_cast<long double>(base), static_cast<long double>(exponent));
  const auto got = static_cast<float>(power_of(base, exponent));
  return static_cast<double>(std::abs(static_cast<long double>(got) - want) /
                             static_cast<long double>(spacing(static_cast<float>(want))));
}

constexpr double kMostPowerError = 0.50001;

TEST(Powers, OfAdamsFactorsAndDecaysAreRoundedOnce) {
  double worst = 0;
  for (const float base : {0.5F, 0.7F, 0.8F, 0.9F, 0.95F, 0.98F, 0.99F, 0.999F, 0.9999F}) {
    for (int step = 1; step <= 200000; step += kStepStride)
      worst = std::max(worst, power_error(static_cast<double>(base), step));
  }
  EXPECT_LE(worst, kMostPowerError);
}

TEST(Powers, OfTheInverseScheduleAreRoundedOnce) {
  double worst = 0;
  for (const float gamma : {1e-4F, 1e-3F, 1e-2F}) {
    for (const float power : {0.5F, 0.75F, 1.0F, 2.0F}) {
      for (int step = 0; step <= 1000000; step += kStepStride)
        worst =
            std::max(worst, power_error(1 + static_cast<double>(gamma) * step, -static_cast<double>(power)));
    }
  }
  EXPECT_LE(worst, kMostPowerError);
}

}  // namespace
}  // namespace trainer
