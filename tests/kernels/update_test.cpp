// Closing a training step, on every backend: all optimisers and schedules on segments that learn differently, compared
// with the formulas in double (tests/reference/training.hpp), and what a loss that is not finite freezes.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <tuple>

#include "tests/kernels/device_map.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/reference/training.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/sample_state.hpp"

namespace trainer {
namespace {

using reference::Values;

struct UpdateCase {
  std::string name;
  Optimizer optimizer;
  Schedule schedule;
};

void PrintTo(const UpdateCase& c, std::ostream* out) {
  *out << c.name;
}

// A run of steps on a few segments, together with the reference. The last value of every segment is padding, without a
// weight or gradient, as in a padded layout.
class Update : public OnBackend, public testing::WithParamInterface<std::tuple<BackendKind, UpdateCase>> {
 protected:
  void SetUp() override {
    start(std::get<0>(GetParam()));
    workspace_ = std::make_unique<DeviceArray>(
        backend(), std::max<std::size_t>(1, backend().update_workspace_bytes({})), "workspace");
    begin();
  }

  void begin() {
    bits_.seed(11);
    want_.w = padded(1);
    want_.slot0.assign(kParameters, 0);
    want_.slot1.assign(kParameters, 0);
    const auto array = [&](const Values& values, const char* what) {
      return std::make_unique<DeviceArray>(backend(), std::vector<float>(values.begin(), values.end()), what);
    };
    w_ = array(want_.w, "w");
    dw_ = array(want_.w, "dw");
    slot0_ = array(want_.slot0, "slot 0");
    slot1_ = array(want_.slot1, "slot 1");
    state_ = std::make_unique<DeviceArray>(backend(), std::vector<StepState>{state_at(0)}, "state");
    cast_w_ = std::make_unique<DeviceMap>(backend(), std::vector<float>(kParameters), "cast weights");
  }

  Values padded(double reach) {
    Values values(kParameters, 0);
    for (const Segment& s : segments_) {
      for (std::size_t i = s.offset; i + 1 < s.offset + s.count; ++i) {
        values[i] = static_cast<float>(reach * (bits_() * 0x1p-31 - 1));
      }
    }
    return values;
  }

  // One step with the loss `loss` and a new gradient.
  Values step(float loss, float clip_norm = 0, double reach = 0.1) {
    Values dw = padded(reach);
    std::vector<float> scaled(dw.begin(), dw.end());
    for (float& g : scaled) g *= backend().loss_scale();
    dw_->upload(scaled);
    StepState state = this->state();
    state.batch_loss = loss;
    state_->upload(std::vector<StepState>{state});
    const UpdateCase& c = std::get<1>(GetParam());
    const int slots = optimizer_slots(c.optimizer);
    const std::vector<Optimizer> optimizers{c.optimizer};
    backend().update({.optimizers = &optimizers,
                      .schedule = c.schedule,
                      .batching = batching_,
                      .segments = &segments_,
                      .w = w_->as<float>(),
                      .cast_w = backend().element() == Element::fp32 ? nullptr : cast_w_->address(),
                      .dw = dw_->as<float>(),
                      .slot0 = slots > 0 ? slot0_->as<float>() : nullptr,
                      .slot1 = slots > 1 ? slot1_->as<float>() : nullptr,
                      .state = state_->as<StepState>(),
                      .workspace = workspace_->as<std::byte>(),
                      .clip_norm = clip_norm,
                      .floats = kParameters});
    backend().wait();
    EXPECT_TRUE(workspace_->guards_whole());
    return dw;
  }

  StepState state() const { return state_->download<StepState>().front(); }

  void expect_as_wanted() const {
    const int slots = optimizer_slots(std::get<1>(GetParam()).optimizer);
    const Tolerance tolerance{.length = kSteps};
    EXPECT_TRUE(near(w_->download<float>(), want_.w, tolerance)) << "w";
    if (slots > 0) {
      EXPECT_TRUE(near(slot0_->download<float>(), want_.slot0, tolerance)) << "slot 0";
    }
    if (slots > 1) {
      EXPECT_TRUE(near(slot1_->download<float>(), want_.slot1, tolerance)) << "slot 1";
    }
    for (const Segment& s : segments_) EXPECT_EQ(w_->download<float>()[s.offset + s.count - 1], 0);
    for (const auto* array : {&w_, &dw_, &slot0_, &slot1_, &state_}) EXPECT_TRUE((*array)->guards_whole());
  }

  static constexpr int kSteps = 12;
  static constexpr std::size_t kParameters = 16 + 48 + 4112 + 64;
  const std::vector<Segment> segments_{
      {0, 9, 1, 0}, {16, 48, 2, 5e-4F}, {64, 4099, 0.5F, 0.01F}, {4176, 64, 0, 0}};
  const Batching batching_{21, 0, 8, Order::shuffled, LastBatch::mask};  // three steps an epoch

  reference::Learner want_;
  std::unique_ptr<DeviceArray> w_, dw_, slot0_, slot1_, state_, workspace_;
  std::unique_ptr<DeviceMap> cast_w_;

 private:
  std::mt19937 bits_{11};
};

TEST_P(Update, FollowsTheFormulaStepByStep) {
  const UpdateCase& c = std::get<1>(GetParam());
  for (std::uint64_t s = 0; s < kSteps; ++s) {
    SCOPED_TRACE(fmt::format("step {}", s));
    const Values dw = step(1.5F);
    reference::update(c.optimizer, c.schedule, segments_, s, s / 3, dw, want_);
    expect_as_wanted();
    EXPECT_EQ(state().step, s + 1);
    EXPECT_EQ(state().batch_loss, 1.5F);
    EXPECT_EQ(state().valid, 12345U);
    EXPECT_EQ(state().first_bad_step, kNoBadStep);
    expect_sums_kept(state());
  }
}

TEST_P(Update, ClipsTheNormOfAllGradientsTogether) {
  const UpdateCase& c = std::get<1>(GetParam());
  for (std::uint64_t s = 0; s < kSteps; ++s) {  // norms of about 3.7 and of 3.7e30
    SCOPED_TRACE(fmt::format("step {}", s));
    Values dw = step(1.5F, 0.5F, s % 4 == 3 ? 1e30 : 0.1);
    reference::clip(dw, 0.5);
    EXPECT_LT(largest(dw), 0.1);
    reference::update(c.optimizer, c.schedule, segments_, s, s / 3, dw, want_);
    expect_as_wanted();
  }
}

TEST_P(Update, ALimitAboveTheNormChangesNoBit) {
  std::vector<std::vector<std::uint32_t>> all;
  for (const float limit : {0.0F, 5.0F, 3.0F}) {
    begin();
    for (int s = 0; s < 3; ++s) step(1.5F, limit);
    all.push_back(w_->download<std::uint32_t>());
  }
  EXPECT_EQ(all[1], all[0]);
  EXPECT_NE(all[2], all[0]);
}

// If maps are stored in 16 bits, some gradients are too, and the weights are also needed in that type.
TEST_P(Update, WidensAndUnscalesGradientsAndCastsTheWeights) {
  if (backend().element() == Element::fp32) return;
  const UpdateCase& c = std::get<1>(GetParam());
  const auto all_floats = [](const Values& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  std::vector<Segment> segments = segments_;
  segments[2].cast_gradient = true;
  for (std::uint64_t s = 0; s < 3; ++s) {
    Values dw = padded(0.1);
    const Segment& reduced = segments[2];
    std::vector<float> scaled = all_floats(dw);
    for (float& g : scaled) g *= backend().loss_scale();
    const auto at = scaled.begin() + static_cast<std::ptrdiff_t>(reduced.offset);
    const DeviceMap rounded(backend(),
                            std::vector<float>(at, at + static_cast<std::ptrdiff_t>(reduced.count)), "dw");
    const std::vector<float> taken = rounded.download();
    const auto bits = rounded.array().download<std::uint8_t>();
    std::memcpy(&*at, bits.data(), bits.size());
    for (std::size_t i = 0; i < taken.size(); ++i) dw[reduced.offset + i] = taken[i] / backend().loss_scale();
    dw_->upload(scaled);
    const int slots = optimizer_slots(c.optimizer);
    const std::vector<Optimizer> optimizers{c.optimizer};
    backend().update({.optimizers = &optimizers,
                      .schedule = c.schedule,
                      .batching = batching_,
                      .segments = &segments,
                      .w = w_->as<float>(),
                      .cast_w = cast_w_->address(),
                      .dw = dw_->as<float>(),
                      .slot0 = slots > 0 ? slot0_->as<float>() : nullptr,
                      .slot1 = slots > 1 ? slot1_->as<float>() : nullptr,
                      .state = state_->as<StepState>()});
    backend().wait();
    reference::update(c.optimizer, c.schedule, segments, s, s / 3, dw, want_);
    EXPECT_TRUE(near(w_->download<float>(), want_.w, Tolerance{.length = kSteps})) << "w in step " << s;
    const DeviceMap expected(backend(), w_->download<float>(), "w cast");
    EXPECT_EQ(cast_w_->array().download<std::uint16_t>(), expected.array().download<std::uint16_t>());
  }
  EXPECT_TRUE(cast_w_->array().guards_whole());
}

TEST_P(Update, FreezesEveryBitFromTheFirstLossThatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    state_->upload(std::vector<StepState>{state_at(0)});
    step(1);
    step(1);
    const auto w = w_->download<std::uint32_t>();
    const auto slot0 = slot0_->download<std::uint32_t>();
    const auto slot1 = slot1_->download<std::uint32_t>();
    const auto cast = cast_w_->array().download<std::uint8_t>();
    step(bad);
    step(1);
    step(-bad);
    EXPECT_EQ(cast_w_->array().download<std::uint8_t>(), cast);
    EXPECT_EQ(w_->download<std::uint32_t>(), w);
    EXPECT_EQ(slot0_->download<std::uint32_t>(), slot0);
    EXPECT_EQ(slot1_->download<std::uint32_t>(), slot1);
    EXPECT_EQ(state().first_bad_step, 2U);
    EXPECT_EQ(state().step, 5U);
    expect_sums_kept(state());
  }
}

Pieces pieces(std::initializer_list<std::pair<std::uint32_t, float>> list) {
  Pieces p;
  for (const auto& [from, value] : list) {
    p.from[p.count] = from;
    p.value[p.count++] = value;
  }
  return p;
}

std::vector<UpdateCase> update_cases() {
  const auto schedule = [](ScheduleKind kind, float rate) {
    Schedule s;
    s.kind = kind;
    s.rate = rate;
    s.steps = 12;
    s.decay = 0.7F;
    s.gamma = 0.1F;
    s.power = 0.75F;
    s.pieces = pieces({{0, 1}, {2, 0.5F}, {3, 0.1F}});
    s.end = 0.05F;
    return s;
  };
  const auto optimizer = [](OptimizerKind kind) {
    Optimizer o;
    o.kind = kind;
    return o;
  };
  std::vector<UpdateCase> all;
  const auto add = [&](const char* name, const Optimizer& o, ScheduleKind kind, float rate) {
    all.push_back({name, o, schedule(kind, rate)});
  };
  Optimizer sgd = optimizer(OptimizerKind::sgd);
  add("sgd", sgd, ScheduleKind::constant, 0.2F);
  add("sgd_steps", sgd, ScheduleKind::steps, 0.2F);
  sgd.momentum = pieces({{0, 0.9F}});
  add("sgd_momentum_inverse", sgd, ScheduleKind::inverse, 0.1F);
  sgd.nesterov = true;
  add("sgd_nesterov", sgd, ScheduleKind::constant, 0.1F);
  sgd.momentum = pieces({{0, 0}, {2, 0.8825F}});
  sgd.dampening = true;
  add("sgd_nesterov_unit_gain", sgd, ScheduleKind::steps, 0.1F);
  sgd.nesterov = false;
  add("sgd_unit_gain_from_epoch_2", sgd, ScheduleKind::steps, 0.128F);
  Optimizer adam = optimizer(OptimizerKind::adam);
  add("adam", adam, ScheduleKind::constant, 1e-2F);
  adam.beta1 = 0.7F;
  adam.beta2 = 0.9F;
  add("adam_one_cycle", adam, ScheduleKind::one_cycle, 1e-2F);
  add("adamw_cosine", optimizer(OptimizerKind::adamw), ScheduleKind::cosine, 2e-2F);
  Optimizer adadelta = optimizer(OptimizerKind::adadelta);
  adadelta.epsilon = 1e-6F;
  add("adadelta_exponential", adadelta, ScheduleKind::exponential, 1);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Step, Update,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(update_cases())),
                         [](const auto& info) {
                           return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

}  // namespace
}  // namespace trainer
