// The functions that every backend shares (kernels/math), which the conformance suite relies on: random bits and
// dropout masks against published values, images and learning rates of a step against the naive computation in
// tests/reference/training.hpp.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "kernels/math/batching.hpp"
#include "kernels/math/divider.hpp"
#include "kernels/math/dropout.hpp"
#include "kernels/math/schedule.hpp"
#include "tests/reference/training.hpp"

namespace trainer {
namespace {

// The known answers of the authors' Random123 library (kat_vectors, "philox4x32 10").
TEST(Philox, GivesThePublishedWords) {
  const auto words = [](Philox4 counter, std::uint32_t key0, std::uint32_t key1) {
    const Philox4 r = philox4x32(counter, key0, key1);
    return std::vector<std::uint32_t>(r.word, r.word + 4);
  };
  constexpr std::uint32_t kOnes = ~0U;
  using Words = std::vector<std::uint32_t>;
  EXPECT_EQ(words({{0, 0, 0, 0}}, 0, 0), Words({0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words({{kOnes, kOnes, kOnes, kOnes}}, kOnes, kOnes),
            Words({0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
            Words({0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(DropoutFactor, KeepsTheAskedShareAndDependsOnSeedStreamAndStep) {
  constexpr int kElements = 40000;
  int kept = 0;
  int changed[3] = {};
  for (std::uint64_t e = 0; e < kElements; ++e) {
    const float factor = dropout_factor(0.25F, 7, 1, 100, e);
    EXPECT_TRUE(factor == 0 || factor == 1 / 0.75F);
    kept += factor > 0 ? 1 : 0;
    changed[0] += factor != dropout_factor(0.25F, 8, 1, 100, e) ? 1 : 0;
    changed[1] += factor != dropout_factor(0.25F, 7, 2, 100, e) ? 1 : 0;
    changed[2] += factor != dropout_factor(0.25F, 7, 1, 101, e) ? 1 : 0;
  }
  const double five_deviations = 5 * std::sqrt(0.25 * 0.75 * kElements);
  EXPECT_NEAR(kept, 0.75 * kElements, five_deviations);
  for (const int count : changed) EXPECT_NEAR(count, 2 * 0.25 * 0.75 * kElements, 1.2 * five_deviations);
}

TEST(Batching, AgreesWithPassesWrittenOutAsLists) {
  for (const Order order : {Order::fixed, Order::shuffled}) {
    for (const LastBatch last : {LastBatch::mask, LastBatch::drop, LastBatch::wrap}) {
      for (const std::uint32_t batch : {1U, 4U, 7U, 20U, 21U}) {
        const Batching b{21, 100, batch, order, last};
        const std::vector<reference::StepImages> steps = reference::first_steps(b, 8, 40);
        std::uint64_t seen = 0;
        for (std::uint64_t s = 0; s < steps.size(); ++s) {
          const reference::StepImages& want = steps[s];
          ASSERT_EQ(valid_rows(b, s), want.images.size());
          ASSERT_EQ(epoch_of(b, s), want.epoch);
          ASSERT_EQ(images_before(b, s), seen);
          for (std::uint32_t row = 0; row < want.images.size(); ++row) {
            ASSERT_EQ(image_of(b, 8, s, row).index, want.images[row]) << "step " << s << ", row " << row;
          }
          seen += want.images.size();
        }
      }
    }
  }
}

Schedule schedule_of(ScheduleKind kind, float rate, std::uint64_t steps) {
  Schedule s;
  s.kind = kind;
  s.rate = rate;
  s.steps = steps;
  s.decay = 0.95F;
  s.gamma = 1e-4F;
  s.power = 0.75F;
  s.end = 0.1F;
  s.pieces.count = 3;
  const std::uint32_t from[] = {0, 10, 20};
  const float factors[] = {1, 0.5F, 0.1F};
  std::copy_n(from, 3, s.pieces.from);
  std::copy_n(factors, 3, s.pieces.value);
  return s;
}

TEST(LearningRate, FollowsItsFormulaOverAWholeRun) {
  constexpr std::uint64_t kSteps = 470;
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::steps, ScheduleKind::exponential,
                                  ScheduleKind::inverse, ScheduleKind::one_cycle, ScheduleKind::cosine}) {
    const Schedule s = schedule_of(kind, 0.3F, kSteps);
    for (std::uint64_t step = 0; step < kSteps; ++step) {
      const double want = reference::learning_rate(s, step, step / 20);
      ASSERT_NEAR(learning_rate(s, step, step / 20), want, 1e-6 * std::abs(want) + 1e-12) << "step " << step;
    }
  }
}

TEST(Divider, DividesAsTheProcessorDoes) {
  constexpr std::uint32_t kEnd = 1U << 31;
  for (const std::uint32_t by : {1U, 2U, 3U, 5U, 6U, 7U, 9U, 36U, 48U, 432U, 641U, 65535U, 65537U, 1000003U,
                                 (1U << 30) + 1, kEnd - 1, kEnd}) {
    const Divider divider(by);
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t n = 0; n < 5000; ++n) numbers.push_back(n);
    for (std::uint32_t n = 1; n < 5000; ++n) numbers.push_back(kEnd - n);
    for (std::uint64_t n = by; n < kEnd; n = 3 * n + by) {  // around its multiples
      for (const std::uint64_t near : {n / by * by - 1, n / by * by})
        numbers.push_back(static_cast<std::uint32_t>(near));
    }
    for (const std::uint32_t n : numbers) ASSERT_EQ(divider.quotient(n), n / by) << n << " / " << by;
  }
}

}  // namespace
}  // namespace trainer
