// The moving average of the weights on every backend, compared with its formula in double: its warm-up, its copy in the maps' element
// type, and what a loss that is not finite freezes.
#include "kernels/math/average.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

#include "tests/kernels/device_map.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/sample_state.hpp"

namespace trainer {
namespace {

constexpr std::size_t kCount = 9000;  // several parts on a CPU, several blocks on a GPU

class Average : public OnBackend, public testing::WithParamInterface<BackendKind> {
 protected:
  void SetUp() override {
    start(GetParam());
    averages_ = std::make_unique<DeviceArray>(backend(), drawn(), "averages");
    cast_ = std::make_unique<DeviceMap>(backend(), averages_->download<float>(), "cast averages");
    state_ = std::make_unique<DeviceArray>(backend(), std::vector<StepState>{state_at(0)}, "state");
  }

  std::vector<float> drawn() {
    std::vector<float> values(kCount);
    for (float& value : values) value = static_cast<float>(random_() * 0x1p-31 - 1);
    return values;
  }

  void move(float decay, const std::vector<float>& values, const StepState& state) {
    const DeviceArray there(backend(), values, "values");
    state_->upload(std::vector<StepState>{state});
    backend().average({.decay = decay,
                       .count = kCount,
                       .values = there.as<float>(),
                       .averages = averages_->as<float>(),
                       .cast = backend().element() == Element::fp32 ? nullptr : cast_->address(),
                       .state = state_->as<StepState>()});
    backend().wait();
    EXPECT_EQ(there.download<float>(), values);
    EXPECT_TRUE(averages_->guards_whole() && state_->guards_whole() && cast_->array().guards_whole());
  }

  std::unique_ptr<DeviceArray> averages_, state_;
  std::unique_ptr<DeviceMap> cast_;

 private:
  std::mt19937 random_{3};
};

TEST_P(Average, FollowsTheFormulaStepByStep) {
  for (const double decay : {0.999, 0.3, 0.0}) {
    const std::vector<float> before = averages_->download<float>();
    std::vector<double> want(before.begin(), before.end());
    for (std::uint64_t t = 1; t <= 12; ++t) {
      SCOPED_TRACE(fmt::format("decay {}, step {}", decay, t));
      const std::vector<float> values = drawn();
      const double d = std::min(decay, (1.0 + static_cast<double>(t)) / (10.0 + static_cast<double>(t)));
      for (std::size_t i = 0; i < kCount; ++i) want[i] = d * want[i] + (1 - d) * values[i];
      move(static_cast<float>(decay), values, state_at(t));
      EXPECT_TRUE(near(averages_->download<float>(), want, {.length = 12}));
      if (decay == 0) {
        EXPECT_EQ(averages_->download<float>(), values);
      }
      const DeviceMap rounded(backend(), averages_->download<float>(), "averages that were cast");
      if (backend().element() != Element::fp32) {
        EXPECT_EQ(cast_->array().download<std::uint16_t>(), rounded.array().download<std::uint16_t>());
      }
    }
  }
}

TEST_P(Average, OfWhatDoesNotChangeStays) {
  const std::vector<float> values = averages_->download<float>();
  for (const std::uint64_t t : {1U, 100U}) {
    move(0.999F, values, state_at(t));
    EXPECT_EQ(averages_->download<float>(), values);
  }
}

TEST_P(Average, DoesNotChangeFromTheFirstBadStep) {
  const std::vector<float> before = averages_->download<float>();
  StepState state = state_at(5);
  state.first_bad_step = 4;
  move(0.5F, drawn(), state);
  EXPECT_EQ(averages_->download<float>(), before);
  state.first_bad_step = kNoBadStep;
  move(0.5F, drawn(), state);
  EXPECT_NE(averages_->download<float>(), before);
}

INSTANTIATE_TEST_SUITE_P(Step, Average, testing::ValuesIn(all_backends()),
                         [](const auto& info) { return backend_name(info.param); });

}  // namespace
}  // namespace trainer
