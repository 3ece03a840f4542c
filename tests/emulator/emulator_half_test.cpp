// The emulator's half precision and bfloat16: exact for representable values, rounded to nearest with ties to even for
// others, and bitwise equal to the toolkit's own headers if there is a toolkit (TRAINER_TOOLKIT_HALF).
#include <bit>
#include <cmath>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>
#include <limits>

namespace trainer {

namespace toolkit {
unsigned short to_bfloat16(float value);
unsigned short to_half(float value);
float from_bfloat16(unsigned short bits);
float from_half(unsigned short bits);
}  // namespace toolkit

namespace {

unsigned short bfloat16_bits(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
unsigned short half_bits(float value) {
  return __half_as_ushort(__float2half_rn(value));
}

// Checks rounding between two neighbours, of which `low` has the even bits.
template <typename Bits>
void expect_ties_to_even(float low, float high, Bits bits) {
  const float middle = (low + high) / 2;
  EXPECT_EQ(bits(middle), bits(low)) << middle;
  EXPECT_EQ(bits(std::nextafter(middle, high)), bits(high)) << middle;
  EXPECT_EQ(bits(std::nextafter(middle, low)), bits(low)) << middle;
}

TEST(EmulatorHalf, EveryValueComesBackAsItWas) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<unsigned short>(i);
    const float half = __half2float(__ushort_as_half(bits));
    const float brain = __bfloat162float(__ushort_as_bfloat16(bits));
    if (!std::isnan(half)) {
      ASSERT_EQ(half_bits(half), bits);
    }
    if (!std::isnan(brain)) {
      ASSERT_EQ(bfloat16_bits(brain), bits);
    }
  }
}

TEST(EmulatorHalf, RoundsToTheNearestAndTiesToEven) {
  expect_ties_to_even(1.0F, 1.0F + 0x1p-10F, half_bits);
  expect_ties_to_even(0x1p-14F, 0x1p-14F + 0x1p-24F, half_bits);
  expect_ties_to_even(0.0F, 0x1p-24F, half_bits);  // the smallest subnormal number
  expect_ties_to_even(1.0F, 1.0F + 0x1p-7F, bfloat16_bits);
  EXPECT_EQ(half_bits(1.0F / 3), 0x3555);
  EXPECT_EQ(bfloat16_bits(1.0F / 3), 0x3EAB);
}

TEST(EmulatorHalf, OverflowsToInfinityAndKeepsNaN) {
  EXPECT_EQ(__half2float(65519.0F), 65504.0F);
  EXPECT_EQ(__half2float(65520.0F), std::numeric_limits<float>::infinity());
  EXPECT_EQ(half_bits(-70000.0F), 0xFC00);
  EXPECT_EQ(bfloat16_bits(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(__half2float(std::nanf(""))));
  EXPECT_TRUE(std::isnan(__bfloat162float(std::nanf(""))));
  const float payload = std::bit_cast<float>(0x7F800001U);  // rounding alone would turn it into infinity
  EXPECT_TRUE(std::isnan(__bfloat162float(payload)));
  EXPECT_TRUE(std::isnan(__half2float(payload)));
}

TEST(EmulatorHalf, PairsKeepTheirOrder) {
  const float2 both = __half22float2(__floats2half2_rn(1.5F, -2.0F));
  EXPECT_EQ(both.x, 1.5F);
  EXPECT_EQ(both.y, -2.0F);
  EXPECT_EQ(__low2float(__floats2bfloat162_rn(1.5F, -2.0F)), 1.5F);
  EXPECT_EQ(__high2float(__floats2bfloat162_rn(1.5F, -2.0F)), -2.0F);
}

TEST(EmulatorHalf, ConvertsAsTheToolkitDoes) {
#if defined(TRAINER_TOOLKIT_HALF)
  constexpr std::uint64_t kStep = 4099;  // a prime: all exponents and signs, a million numbers
  for (std::uint64_t word = 0; word <= 0xFFFFFFFFU; word += kStep) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(word));
    ASSERT_EQ(bfloat16_bits(value), toolkit::to_bfloat16(value)) << word;
    ASSERT_EQ(half_bits(value), toolkit::to_half(value)) << word;
  }
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<unsigned short>(i);
    const float half = __half2float(__ushort_as_half(bits));
    // Also on the ties between two neighbours.
    const float above = __half2float(__ushort_as_half(static_cast<unsigned short>(bits + 1)));
    const float middle = (half + above) / 2;
    ASSERT_EQ(half_bits(middle), toolkit::to_half(middle)) << bits;
    if (std::isnan(half)) {
      ASSERT_TRUE(std::isnan(toolkit::from_half(bits)));
    } else {
      ASSERT_EQ(half, toolkit::from_half(bits));
    }
    const auto word = std::bit_cast<std::uint32_t>(__bfloat162float(__ushort_as_bfloat16(bits)));
    ASSERT_EQ(word, std::bit_cast<std::uint32_t>(toolkit::from_bfloat16(bits)));
  }
#else
  GTEST_SKIP() << "no CUDA toolkit to compare with";
#endif
}

}  // namespace
}  // namespace trainer
