// Training on several ranks, which are threads here: the same network on all of them, and the same as one process's.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/train/rank_training.hpp"

namespace trainer {
namespace {

class RanksOfNetworks : public testing::TestWithParam<const char*> {};

TEST_P(RanksOfNetworks, PortableBitsAreThoseOfOneProcess) {
  // 8 divides 16; the last of 90 images fill no batch of 21, and then some ranks have no rows.
  for (const Trial& trial :
       {Trial{.model = GetParam()},
        Trial{.model = GetParam(), .batch = 21, .images = 87, .steps = 6, .keep = Selection{0.5, 0}}}) {
    const Trained alone = train(trial, nullptr);
    for (const int size : {1, 2, 4, 8}) {
      const std::vector<Trained> all = train_on(trial, size);
      for (const Trained& one : all)
        EXPECT_EQ(one.digest, alone.digest) << size << " ranks, batch " << trial.batch;
      ASSERT_EQ(all[0].epochs.size(), alone.epochs.size());
      for (std::size_t e = 0; e < alone.epochs.size(); ++e) {
        EXPECT_EQ(all[0].epochs[e].test.accuracy, alone.epochs[e].test.accuracy);
        EXPECT_EQ(all[0].epochs[e].images, alone.epochs[e].images);
        EXPECT_NEAR(all[0].epochs[e].train_loss, alone.epochs[e].train_loss, 1e-6);
        EXPECT_NEAR(all[0].epochs[e].test.loss, alone.epochs[e].test.loss, 1e-6);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, RanksOfNetworks,
                         testing::Values("quick", "lenet", "sprint-lean", "cntk-convnet", "pytorch-example"));

TEST(Ranks, HaveOneMovingAverageOfTheWeights) {
  const Trial portable{.model = "sprint-lean", .average = 0.9};
  const Trained alone = train(portable, nullptr);
  EXPECT_NE(alone.digest, train(Trial{.model = "sprint-lean"}, nullptr).digest);
  for (const Trained& one : train_on(portable, 2)) EXPECT_EQ(one.digest, alone.digest);
  // Each rank has running statistics of its own until a test.
  const Trial fast{.model = "sprint-lean", .bits = Bits::fast, .average = 0.9};
  const std::vector<Trained> all = train_on(fast, 2);
  EXPECT_EQ(all[0].digest, all[1].digest);
}

TEST(Ranks, ClippedAndNormalisedByImageTheBitsAreThoseOfOneProcess) {
  for (const char* model : {"quick", "sprint-lean"}) {
    const Trial trial{.model = model, .clip_norm = 0.05, .by_image = true};
    const Trained alone = train(trial, nullptr);
    for (const Trained& one : train_on(trial, 4)) EXPECT_EQ(one.digest, alone.digest) << model;
    EXPECT_NE(alone.digest, train({.model = model, .by_image = true}, nullptr).digest) << "it clips";
    EXPECT_NE(alone.digest, train({.model = model, .clip_norm = 0.05}, nullptr).digest);
  }
}

TEST(Ranks, FastEngineDiffersFromOneProcessByRoundingOnly) {
  const Trial quick{
      .model = "quick", .batch = 18, .images = 100, .bits = Bits::fast, .steps = 3, .sync = true};
  Trial sprint = quick, selecting = quick;
  sprint.model = "sprint";
  selecting.keep = Selection{0.4, 0};
  for (const Trial& trial : {quick, sprint, selecting}) {
    const Trained alone = train(trial, nullptr);
    const std::vector<Trained> all = train_on(trial, 4);
    for (const Trained& one : all) {
      EXPECT_EQ(one.weights, all[0].weights);
      ASSERT_EQ(one.weights.size(), alone.weights.size());
      double most = 0;
      for (std::size_t i = 0; i < one.weights.size(); ++i)
        most = std::max(
            most, std::abs(static_cast<double>(one.weights[i]) - static_cast<double>(alone.weights[i])));
      EXPECT_LT(most, 2e-3) << trial.model << (trial.keep ? ", selecting" : "");
    }
  }
}

// The first convolution's weights and the biases are exchanged whole, those of the dense layers are not.
TEST(Ranks, OneBitLeavesSmallParametersExact) {
  Trial trial{.model = "quick", .images = 32, .bits = Bits::fast, .steps = 1, .beta2 = 0.99F};
  const std::vector<float> exact = train_on(trial, 2)[0].weights;
  trial.gradient_bits = 1;
  const std::vector<float> coded = train_on(trial, 2)[0].weights;
  constexpr std::ptrdiff_t kFirst = 24 * 25 + 24;
  EXPECT_TRUE(std::equal(exact.begin(), exact.begin() + kFirst, coded.begin()));
  EXPECT_TRUE(std::equal(exact.end() - 10, exact.end(), coded.end() - 10));
  EXPECT_NE(exact, coded);
}

TEST(Ranks, OneBitMakesAdamsSecondMomentRememberLonger) {
  const auto digest = [](std::optional<float> beta2, std::uint64_t warm_start_images = 0) {
    const Trial trial{.model = "quick",
                      .images = 32,
                      .bits = Bits::fast,
                      .gradient_bits = 1,
                      .warm_start_images = warm_start_images,
                      .beta2 = beta2};
    return train_on(trial, 2)[0].digest;
  };
  EXPECT_EQ(digest({}), digest(0.99F));
  EXPECT_NE(digest({}), digest(0.999F));
  EXPECT_NE(digest({}, 32), digest(0.99F, 32)) << "while 32 bits are exchanged, it is the recipe's";
}

// Every network and optimiser, with few bits and each rank's own statistics: the replicas stay equal.
TEST(Ranks, ReplicasStayEqual) {
  for (const char* model : {"quick", "lenet", "sprint-lean", "sprint", "cntk-convnet"}) {
    for (const int bits : {32, 16, 1}) {
      const Trial trial{
          .model = model, .batch = 17, .images = 35, .bits = Bits::fast, .steps = 5, .gradient_bits = bits};
      const std::vector<Trained> all = train_on(trial, 3);
      for (const Trained& one : all) {
        EXPECT_EQ(one.digest, all[0].digest) << model << ", " << bits << " bits";
        EXPECT_TRUE(std::ranges::all_of(one.weights, [](float w) { return std::isfinite(w); })) << model;
      }
    }
  }
}

}  // namespace
}  // namespace trainer
