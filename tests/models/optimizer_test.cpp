// Optimisers, element by element: against PyTorch's first steps (2.15, in double; weight 1.5 and the
// gradients below), and over a long run against an independent implementation in double from the papers'
// formulas.
#include "kernels/math/optimizer.hpp"

#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>

namespace trainer::test {

namespace {

constexpr std::array<double, 5> kGradients{0.5, -1.25, 2.0, 0.125, -0.75};
using Steps = std::array<double, 5>;

Pieces always(float value) {
  Pieces pieces;
  pieces.count = 1;
  pieces.value[0] = value;
  return pieces;
}

Schedule constant_rate(float rate) {
  Schedule schedule;
  schedule.rate = rate;
  return schedule;
}

// One weight under the product's functions.
struct Trained {
  Optimizer optimizer;
  Schedule schedule;
  float decay = 0;
  float w = 1.5F;
  float slot0 = 0;
  float slot1 = 0;

  void step(float g, std::uint64_t number, std::uint64_t epoch = 0) {
    const UpdateStep u = update_step(optimizer, schedule, number, epoch);
    switch (optimizer.kind) {
      case OptimizerKind::sgd:
        sgd_update(u, optimizer.nesterov, u.rate, decay, g, w, slot0);
        break;
      case OptimizerKind::adam:
        adam_update(optimizer, u, u.rate, decay, 0, g, w, slot0, slot1);
        break;
      case OptimizerKind::adamw:
        adam_update(optimizer, u, u.rate, 0, decay, g, w, slot0, slot1);
        break;
      case OptimizerKind::adadelta:
        adadelta_update(optimizer, u.rate, decay, g, w, slot0, slot1);
        break;
      case OptimizerKind::muon:
        break;  // not one element at a time
    }
  }
};

void expect_steps(Trained trained, const Steps& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    trained.step(static_cast<float>(kGradients[i]), i);
    EXPECT_NEAR(trained.w, expected[i], 1e-6) << "step " << i;
  }
}

// The same in double, written from the papers with the bias corrections where the papers have them.
struct Reference {
  Optimizer o;
  double rate = 0;
  double decay = 0;
  double w = 1.5;
  double a = 0;
  double b = 0;

  void step(double g, int t) {
    if (o.kind != OptimizerKind::adamw) g += decay * w;
    switch (o.kind) {
      case OptimizerKind::sgd: {
        const double m = o.momentum.count > 0 ? static_cast<double>(o.momentum.value[0]) : 0;
        a = m * a + (o.dampening ? (1 - m) * g : g);
        w -= rate * (o.nesterov ? g + m * a : a);
        break;
      }
      case OptimizerKind::adamw:
      case OptimizerKind::adam: {
        const double b1 = static_cast<double>(o.beta1);
        const double b2 = static_cast<double>(o.beta2);
        if (o.kind == OptimizerKind::adamw) w *= 1 - rate * decay;
        a = b1 * a + (1 - b1) * g;
        b = b2 * b + (1 - b2) * g * g;
        const double first = a / (1 - std::pow(b1, t));
        const double second = b / (1 - std::pow(b2, t));
        w -= rate * first / (std::sqrt(second) + static_cast<double>(o.epsilon));
        break;
      }
      case OptimizerKind::adadelta: {
        const double rho = static_cast<double>(o.rho);
        const double epsilon = static_cast<double>(o.epsilon);
        a = rho * a + (1 - rho) * g * g;
        const double d = std::sqrt(b + epsilon) / std::sqrt(a + epsilon) * g;
        b = rho * b + (1 - rho) * d * d;
        w -= rate * d;
        break;
      }
      case OptimizerKind::muon:
        break;
    }
  }
};

Optimizer sgd(float momentum) {
  Optimizer o;
  if (momentum > 0) o.momentum = always(momentum);
  return o;
}

Optimizer of_kind(OptimizerKind kind, float epsilon) {
  Optimizer o;
  o.kind = kind;
  o.epsilon = epsilon;
  return o;
}

}  // namespace

TEST(Optimizer, SgdIsPytorchs) {
  expect_steps({sgd(0), constant_rate(0.1F), 0}, {1.45, 1.575, 1.375, 1.3625, 1.4375});
  expect_steps({sgd(0), constant_rate(0.1F), 0.05F},
               {1.4425, 1.5602875, 1.3524860625, 1.3332236321875, 1.4015575140265624});
}

TEST(Optimizer, MomentumIsPytorchs) {
  expect_steps({sgd(0.9F), constant_rate(0.1F), 0}, {1.45, 1.53, 1.402, 1.2743, 1.23437});
  expect_steps({sgd(0.9F), constant_rate(0.1F), 0.05F},
               {1.4425, 1.5085375, 1.3604285625, 1.2078283759375, 1.1394490661515624});
}

TEST(Optimizer, NesterovIsPytorchs) {
  Optimizer o = sgd(0.9F);
  o.nesterov = true;
  expect_steps({o, constant_rate(0.1F), 0.05F},
               {1.39075, 1.568462875, 1.2272624401875, 1.0718311386119688, 1.0810332523580206});
}

TEST(Optimizer, UnitGainIsCntks) {
  Optimizer o;
  o.dampening = true;
  o.momentum.count = 2;
  o.momentum.from[1] = 2;
  o.momentum.value[1] = 0.8825F;
  Trained trained{o, constant_rate(0.128F), 0};
  const Steps expected{1.436, 1.596, 1.70712, 1.8033034, 1.8994652505};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    trained.step(static_cast<float>(kGradients[i]), i, i);  // one step an epoch
    EXPECT_NEAR(trained.w, expected[i], 1e-6) << "step " << i;
  }
}

TEST(Optimizer, AdamIsPytorchs) {
  Optimizer quick = of_kind(OptimizerKind::adam, 1e-8F);
  quick.beta1 = 0.7F;
  quick.beta2 = 0.9F;
  expect_steps({quick, constant_rate(0.01F), 0},
               {1.4900000002, 1.4954581739798714, 1.491109788333922, 1.4875829563585738, 1.487554575256397});
  expect_steps(
      {of_kind(OptimizerKind::adam, 1e-8F), constant_rate(0.001F), 0.05F},
      {1.4990000000173913, 1.4993740691637485, 1.4989877423834783, 1.49862508930267, 1.4984739617898053});
  expect_steps(
      {of_kind(OptimizerKind::adam, 0.1F), constant_rate(0.01F), 0},
      {1.4916666666666667, 1.4956685201407094, 1.4925036327111993, 1.489662913625141, 1.488870471944705});
}

TEST(Optimizer, AdamwIsPytorchs) {
  expect_steps({of_kind(OptimizerKind::adamw, 1e-8F), constant_rate(0.01F), 0.1F},
               {1.4885000002, 1.4914336527911893, 1.4865500328589125, 1.4819874422531074, 1.479642914089554});
}

TEST(Optimizer, AdadeltaIsPytorchs) {
  expect_steps(
      {of_kind(OptimizerKind::adadelta, 1e-6F), constant_rate(1), 0},
      {1.4968377855834876, 1.5010189421273594, 1.4959181906860919, 1.4954884359971814, 1.4979477977457683});
  Optimizer other = of_kind(OptimizerKind::adadelta, 1e-3F);
  other.rho = 0.8F;
  expect_steps(
      {other, constant_rate(0.5F), 0.05F},
      {1.4649090036324022, 1.5104845216608322, 1.453054408249717, 1.4452993809857704, 1.471036966273862});
}

TEST(Optimizer, AThousandStepsStayNearTheFormulasInDouble) {
  Optimizer nesterov = sgd(0.9F);
  nesterov.nesterov = true;
  Optimizer dampening = sgd(0.8825F);
  dampening.dampening = true;
  for (const Optimizer& o : {sgd(0), sgd(0.9F), nesterov, dampening, of_kind(OptimizerKind::adam, 1e-8F),
                             of_kind(OptimizerKind::adamw, 1e-8F), of_kind(OptimizerKind::adadelta, 1e-6F)}) {
    Trained trained{o, constant_rate(0.0078125F), 0.25F};
    Reference reference{o, 0.0078125, 0.25};
    std::mt19937 random(3);
    std::normal_distribution<float> noise;
    for (int t = 1; t <= 1000; ++t) {
      const float g = noise(random) * std::pow(10.0F, noise(random));
      trained.step(g, static_cast<std::uint64_t>(t - 1));
      reference.step(static_cast<double>(g), t);
      ASSERT_NEAR(trained.w, reference.w, 1e-4 * (1 + std::abs(reference.w)))
          << "optimizer " << static_cast<int>(o.kind) << ", step " << t;
    }
  }
}

TEST(Optimizer, KeepsOnlyTheSlotsThatItNeeds) {
  EXPECT_EQ(optimizer_slots(sgd(0)), 0);
  EXPECT_EQ(optimizer_slots(sgd(0.9F)), 1);
  EXPECT_EQ(optimizer_slots(of_kind(OptimizerKind::adam, 1e-8F)), 2);
  EXPECT_EQ(optimizer_slots(of_kind(OptimizerKind::adamw, 1e-8F)), 2);
  EXPECT_EQ(optimizer_slots(of_kind(OptimizerKind::adadelta, 1e-6F)), 2);
}

// What the padding of a stored layout relies on.
TEST(Optimizer, AZeroWithoutGradientStaysZero) {
  for (const Optimizer& o : {sgd(0), sgd(0.9F), of_kind(OptimizerKind::adam, 1e-8F),
                             of_kind(OptimizerKind::adamw, 1e-8F), of_kind(OptimizerKind::adadelta, 1e-6F)}) {
    Trained trained{o, constant_rate(0.1F), 0.1F, 0, 0, 0};
    for (std::uint64_t t = 0; t < 5; ++t) trained.step(0, t);
    EXPECT_EQ(trained.w, 0);
    EXPECT_EQ(trained.slot0, 0);
    EXPECT_EQ(trained.slot1, 0);
  }
}

}  // namespace trainer::test
