// Starting values: the generator's published answers, bounds and moments of each rule, independence, and a
// few pinned values so that a seed means the same in every version.
#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/math/philox.hpp"
#include "models/plan.hpp"

namespace trainer::test {

namespace {

constexpr int kOut = 300;
constexpr int kIn = 400;

PlannedParameter weight(const Initialization& start) {
  return {"dense1.weight", {ParameterRole::weight, {kOut, kIn}, kIn, kOut}, 1, 0, start};
}

struct Moments {
  double mean = 0;
  double deviation = 0;
  double kurtosis = 0;
  double least = 0;
  double most = 0;
};

Moments moments(const std::vector<float>& values) {
  const auto n = static_cast<double>(values.size());
  Moments m;
  for (const float v : values) m.mean += static_cast<double>(v) / n;
  double fourth = 0;
  for (const float v : values) {
    const double square = std::pow(static_cast<double>(v) - m.mean, 2);
    m.deviation += square / n;
    fourth += square * square / n;
  }
  m.kurtosis = fourth / (m.deviation * m.deviation);
  m.deviation = std::sqrt(m.deviation);
  m.least = static_cast<double>(*std::min_element(values.begin(), values.end()));
  m.most = static_cast<double>(*std::max_element(values.begin(), values.end()));
  return m;
}

// Moments of 120,000 values of uniform(-limit, limit), within five standard errors.
void expect_uniform(Initializer kind, double limit) {
  const Moments m = moments(initial_values(weight({kind, 0, 1}), 1, 0));
  const double deviation = limit / std::sqrt(3);
  EXPECT_NEAR(m.mean, 0, 5 * deviation / std::sqrt(kOut * kIn));
  EXPECT_NEAR(m.deviation, deviation, 0.01 * deviation);
  EXPECT_NEAR(m.kurtosis, 1.8, 0.02);
  EXPECT_GE(m.least, -limit * (1 + 1e-6));
  EXPECT_LE(m.most, limit * (1 + 1e-6));
  EXPECT_LT(m.least, -0.999 * limit);
  EXPECT_GT(m.most, 0.999 * limit);
}

}  // namespace

// kat_vectors of Random123, the authors' own library.
TEST(Philox, GivesThePublishedAnswers) {
  const auto answer = [](std::array<std::uint32_t, 4> c, std::uint32_t k0, std::uint32_t k1) {
    const Philox4 r = philox4x32({{c[0], c[1], c[2], c[3]}}, k0, k1);
    return std::array<std::uint32_t, 4>{r.word[0], r.word[1], r.word[2], r.word[3]};
  };
  using Words4 = std::array<std::uint32_t, 4>;
  EXPECT_EQ(answer({0, 0, 0, 0}, 0, 0), (Words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(answer({~0U, ~0U, ~0U, ~0U}, ~0U, ~0U), (Words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(answer({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, AUnitFloatIsBelowOne) {
  EXPECT_EQ(unit_float(0), 0);
  EXPECT_LT(unit_float(~0U), 1);
  EXPECT_EQ(unit_float(1U << 31), 0.5F);
}

TEST(Initialize, UniformRulesHaveTheirBoundsAndMoments) {
  expect_uniform(Initializer::uniform_fan_in, 1 / std::sqrt(400));
  expect_uniform(Initializer::xavier_uniform, std::sqrt(3.0 / 400));
  expect_uniform(Initializer::glorot_uniform, std::sqrt(6.0 / 700));
}

TEST(Initialize, NormalHasItsMoments) {
  const Moments m = moments(initial_values(weight({Initializer::normal, 0, 2}), 1, 0));
  EXPECT_NEAR(m.mean, 0, 5 * 2 / std::sqrt(kOut * kIn));
  EXPECT_NEAR(m.deviation, 2, 0.03);
  EXPECT_NEAR(m.kurtosis, 3, 0.08);
  EXPECT_GT(m.most, 2 * 3.5);
  EXPECT_LT(m.least, -2 * 3.5);
}

TEST(Initialize, TruncatedNormalStaysWithinTwoDeviations) {
  const Moments m = moments(initial_values(weight({Initializer::truncated_normal, 0, 0.1}), 1, 0));
  EXPECT_NEAR(m.mean, 0, 5 * 0.1 / std::sqrt(kOut * kIn));
  EXPECT_NEAR(m.deviation, 0.1 * 0.87962566, 0.001);  // of the normal distribution cut at two deviations
  EXPECT_LE(m.most, 0.2 * (1 + 1e-6));
  EXPECT_GE(m.least, -0.2 * (1 + 1e-6));
  EXPECT_GT(m.most, 0.199);
  EXPECT_LT(m.least, -0.199);
}

TEST(Initialize, NeighboursDoNotGoTogether) {
  for (const Initializer kind :
       {Initializer::uniform_fan_in, Initializer::normal, Initializer::truncated_normal}) {
    const std::vector<float> values = initial_values(weight({kind, 0, 1}), 3, 1);
    const double variance = std::pow(moments(values).deviation, 2);
    for (const std::size_t lag : {1U, 2U, 3U, 4U, 400U}) {
      double product = 0;
      for (std::size_t i = lag; i < values.size(); ++i)
        product += static_cast<double>(values[i]) * values[i - lag];
      const auto n = static_cast<double>(values.size() - lag);
      EXPECT_LT(std::abs(product / n / variance), 5 / std::sqrt(n)) << "lag " << lag;
    }
  }
}

TEST(Initialize, SeedsAndParametersDifferAndRepeat) {
  const PlannedParameter p = weight({Initializer::normal, 0, 1});
  const auto values = initial_values(p, 1, 0);
  EXPECT_EQ(values, initial_values(p, 1, 0));
  for (const auto& other : {initial_values(p, 2, 0), initial_values(p, 1, 1),
                            initial_values(p, 1 + (std::uint64_t{1} << 32), 0)}) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < values.size(); ++i) same += values[i] == other[i] ? 1 : 0;
    EXPECT_LT(same, 10U);
  }
}

TEST(Initialize, ALongerParameterBeginsLikeAShorterOne) {
  PlannedParameter shorter = weight({Initializer::truncated_normal, 0, 1});
  shorter.desc.shape = {7};
  const auto few = initial_values(shorter, 5, 2);
  const auto many = initial_values(weight({Initializer::truncated_normal, 0, 1}), 5, 2);
  ASSERT_EQ(few.size(), 7U);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(Initialize, ConstantsAreConstant) {
  EXPECT_EQ(
      initial_values({"b", {ParameterRole::bias, {3}, 4, 3}, 1, 0, {Initializer::constant, 0.1, 0}}, 1, 0),
      (std::vector<float>{0.1F, 0.1F, 0.1F}));
  EXPECT_EQ(initial_values({"b", {ParameterRole::bias, {2}, 4, 3}, 1, 0, {Initializer::zeros, 0, 0}}, 1, 0),
            (std::vector<float>{0, 0}));
}

TEST(Initialize, ASeedMeansTheSameInEveryVersion) {
  const auto first_four = [](const Initialization& start) {
    auto values = initial_values(weight(start), 42, 0);
    values.resize(4);
    return values;
  };
  const auto expect_near = [](const std::vector<float>& values, const std::array<double, 4>& pinned) {
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(values[i], pinned[i], 1e-6) << i;
  };
  expect_near(first_four({Initializer::uniform_fan_in, 0, 1}),
              {0.036174977, 0.043376297, -0.005542260, -0.012747788});
  expect_near(first_four({Initializer::normal, 0, 1}),
              {0.498944909, -0.220532467, -0.886224382, 0.914258356});
}

}  // namespace trainer::test
