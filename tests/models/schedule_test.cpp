// Learning rates against PyTorch's schedulers (2.15, in double) and the formulas of Caffe and TensorFlow, and
// where batches meet the end of the data.
#include "kernels/math/schedule.hpp"

#include <gtest/gtest.h>
#include <utility>
#include <vector>

#include "kernels/math/batching.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {

namespace {

using Rates = std::vector<std::pair<std::uint64_t, double>>;

// A few roundings of float around each expected rate.
void expect_rates(const Schedule& schedule, const Batching& batching, const Rates& rates) {
  for (const auto& [step, rate] : rates) {
    EXPECT_NEAR(learning_rate(schedule, step, epoch_of(batching, step)), rate, 3e-7 * rate + 1e-13)
        << "step " << step;
  }
}

Batching batching_of(const Recipe& recipe, std::uint32_t images) {
  Batching b;
  b.first = static_cast<std::uint32_t>(recipe.hold_out_first);
  b.images = images - b.first;
  b.batch = static_cast<std::uint32_t>(recipe.batch);
  b.order = recipe.order;
  b.last_batch = recipe.last_batch;
  return b;
}

Batching small(LastBatch last_batch) {
  return {10, 3, 4, Order::fixed, last_batch};
}

// The images that a step shows.
std::vector<std::uint32_t> images_of(const Batching& b, std::uint64_t step) {
  std::vector<std::uint32_t> images;
  for (std::uint32_t row = 0; row < valid_rows(b, step); ++row)
    images.push_back(image_of(b, 0, step, row).index);
  return images;
}

using Images = std::vector<std::uint32_t>;

}  // namespace

TEST(Schedule, OneCycleIsPytorchs) {
  const Recipe quick = shipped("quick").recipe;
  const Batching b = batching_of(quick, 60000);
  ASSERT_EQ(steps_per_epoch(b), 235U);
  Schedule two = quick.schedule;
  two.steps = 470;
  // At the very end the rate is a small difference of large numbers, in PyTorch as well.
  expect_rates(two, b,
               {{0, 0.0004},
                {1, 0.0004012084722759667},
                {10, 0.0005203460215272467},
                {69, 0.005092297291380135},
                {70, 0.0052},
                {71, 0.005307702708619863},
                {140, 0.01},
                {141, 0.009999772048255069},
                {200, 0.009201571309382879},
                {300, 0.005214803590608374},
                {400, 0.0010466285425496295},
                {468, 2.6795174493051026e-07},
                {469, 4e-08}});
  Schedule one = quick.schedule;
  one.steps = 235;
  expect_rates(one, b,
               {{0, 0.0004},
                {1, 0.0004049030624798597},
                {10, 0.0008820963351533206},
                {69, 0.009998774077829497},
                {70, 0.009999772048255069},
                {71, 0.009997948559003024},
                {140, 0.0061126202193628925},
                {200, 0.0010175787899392036},
                {234, 4e-08},
                {235, 4e-08}});
  Schedule other = one;
  other.steps = 100;
  other.warmup = 0.5F;
  other.start_divisor = 10;
  other.end_divisor = 100;
  expect_rates(other, b,
               {{0, 0.001},
                {10, 0.0018936387015941938},
                {49, 0.01},
                {50, 0.009990143508499217},
                {75, 0.00469136135495108},
                {99, 1e-05}});
}

TEST(Schedule, OneCycleOfAStepOrTwoIsDefined) {
  Schedule s = shipped("quick").recipe.schedule;
  for (const std::uint64_t steps : {1, 2, 3, 4}) {
    s.steps = steps;
    for (std::uint64_t step = 0; step < steps; ++step) {
      const float rate = learning_rate(s, step, 0);
      EXPECT_GT(rate, 0) << step << " of " << steps;
      EXPECT_LE(rate, 0.01F) << step << " of " << steps;
    }
  }
}

TEST(Schedule, CosineIsPytorchs) {
  Schedule s;
  s.kind = ScheduleKind::cosine;
  s.rate = 0.1F;
  s.end = 0.01F;
  s.steps = 100;
  expect_rates(s, small(LastBatch::mask),
               {{0, 0.1},
                {1, 0.09997557473810371},
                {50, 0.0505},
                {99, 0.0010244252618962857},
                {100, 0.001},
                {1000, 0.001}});
}

TEST(Schedule, LenetFollowsCaffesInverse) {
  const Recipe r = shipped("lenet").recipe;
  expect_rates(r.schedule, batching_of(r, 60000),
               {{0, 0.01},
                {1, 0.009999250065618985},
                {500, 0.00964068794694323},
                {5000, 0.007377879464668811},
                {9999, 0.005946258561103331}});
}

TEST(Schedule, TfConvolutionalDecaysByPassesOf55000) {
  const Recipe r = shipped("tf-convolutional").recipe;
  expect_rates(r.schedule, batching_of(r, 60000),
               {{0, 0.01},
                {859, 0.01},
                {860, 0.0095},
                {1718, 0.0095},
                {1719, 0.009025},
                {8592, 0.006302494097246091}});
}

TEST(Schedule, PytorchExampleDecaysByEpoch) {
  const Recipe r = shipped("pytorch-example").recipe;
  expect_rates(r.schedule, batching_of(r, 60000),
               {{0, 1}, {937, 1}, {938, 0.7}, {1875, 0.7}, {1876, 0.49}, {13 * 938, 0.009688901040699992}});
}

TEST(Schedule, CntkConvnetStepsByEpoch) {
  const Recipe r = shipped("cntk-convnet").recipe;
  expect_rates(
      r.schedule, batching_of(r, 60000),
      {{0, 0.128}, {4689, 0.128}, {4690, 0.064}, {9379, 0.064}, {9380, 0.0128}, {40 * 469 - 1, 0.0128}});
}

TEST(Schedule, TheSamplesStayConstant) {
  for (const auto& [name, rate] : {std::pair{"tf-sample", 0.001}, {"cntk-sample", 0.2}}) {
    const Recipe r = shipped(name).recipe;
    expect_rates(r.schedule, batching_of(r, 60000), {{0, rate}, {1, rate}, {9374, rate}});
  }
}

TEST(Batching, ThePassesOfTheShippedNetworksAreAsPublished) {
  const auto batching = [](const char* name) { return batching_of(shipped(name).recipe, 60000); };
  EXPECT_EQ(steps_per_epoch(batching("quick")), 235U);
  EXPECT_EQ(steps_per_epoch(batching("cntk-convnet")), 469U);
  EXPECT_EQ(steps_per_epoch(batching("pytorch-example")), 938U);
  EXPECT_EQ(batching("tf-sample").images, 55000U);
  EXPECT_EQ(batching("tf-convolutional").images, 55000U);
  EXPECT_EQ(batching("lenet").images, 60000U);
  EXPECT_EQ(valid_rows(batching("quick"), 234), 60000U - 234 * 256);
  EXPECT_EQ(valid_rows(batching("quick"), 235), 256U);
  EXPECT_EQ(images_before(batching("quick"), 470), 120000U);
  EXPECT_EQ(images_before(batching("cntk-sample"), 9375), 600000U);
  EXPECT_EQ(images_before(batching("lenet"), 10000), 640000U);
  EXPECT_EQ(image_of(batching("tf-convolutional"), 0, 0, 0).index, 5000U) << "the first 5,000 are held out";
  EXPECT_EQ(image_of(batching("tf-convolutional"), 0, 859, 55000 - 859 * 64).index, 5000U)
      << "the second pass";
}

TEST(Batching, MaskStopsShort) {
  const Batching b = small(LastBatch::mask);
  EXPECT_EQ(steps_per_epoch(b), 3U);
  EXPECT_EQ(images_of(b, 0), (Images{3, 4, 5, 6}));
  EXPECT_EQ(images_of(b, 2), (Images{11, 12}));
  EXPECT_EQ(images_of(b, 3), (Images{3, 4, 5, 6}));
  EXPECT_EQ(epoch_of(b, 2), 0U);
  EXPECT_EQ(epoch_of(b, 3), 1U);
  EXPECT_EQ(images_before(b, 3), 10U);
  EXPECT_EQ(images_before(b, 5), 18U);
}

TEST(Batching, DropLeavesTheRestOut) {
  const Batching b = small(LastBatch::drop);
  EXPECT_EQ(steps_per_epoch(b), 2U);
  EXPECT_EQ(images_of(b, 1), (Images{7, 8, 9, 10}));
  EXPECT_EQ(images_of(b, 2), (Images{3, 4, 5, 6}));
  EXPECT_EQ(epoch_of(b, 2), 1U);
  EXPECT_EQ(images_before(b, 3), 12U);
}

TEST(Batching, WrapGoesOnIntoTheNextPass) {
  const Batching b = small(LastBatch::wrap);
  EXPECT_EQ(images_of(b, 2), (Images{11, 12, 3, 4}));
  EXPECT_EQ(images_of(b, 3), (Images{5, 6, 7, 8}));
  EXPECT_EQ(epoch_of(b, 2), 0U);
  EXPECT_EQ(epoch_of(b, 3), 1U);
  EXPECT_EQ(images_before(b, 3), 12U);
  Batching larger_batch = b;
  larger_batch.batch = 25;
  EXPECT_EQ(images_of(larger_batch, 0).back(), 3U + 24 % 10);
}

TEST(Batching, EveryRuleShowsEachImageOnceAPass) {
  for (const LastBatch rule : {LastBatch::mask, LastBatch::wrap}) {
    Batching b{1000, 7, 64, Order::shuffled, rule};
    std::vector<int> seen(b.first + b.images, 0);
    std::uint64_t shown = 0;
    for (std::uint64_t step = 0; shown < 3000; ++step) {
      EXPECT_EQ(images_before(b, step), shown);
      for (std::uint32_t row = 0; row < valid_rows(b, step) && shown < 3000; ++row, ++shown) {
        ++seen.at(image_of(b, 5, step, row).index);
      }
    }
    for (std::uint32_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], i < b.first ? 0 : 3) << i;
  }
}

}  // namespace trainer::test
