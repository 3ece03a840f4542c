// Muon on every backend, in whatever layout an op keeps its weights: steps held against the formulas in double
// (reference/training.hpp), and how near to orthogonal its directions are.
#include <cmath>
#include <gtest/gtest.h>
#include <memory>
#include <numeric>
#include <random>
#include <tuple>

#include "kernels/math/muon.hpp"
#include "tests/backends.hpp"
#include "tests/conformance_cases.hpp"
#include "tests/device_map.hpp"
#include "tests/reference/training.hpp"
#include "tests/sample_state.hpp"
#include "tests/tolerance.hpp"

namespace trainer {
namespace {

using reference::Values;

Optimizer muon(int passes, float momentum) {
  Optimizer o;
  o.kind = OptimizerKind::muon;
  o.passes = passes;
  o.momentum.count = 1;
  o.momentum.value[0] = momentum;
  return o;
}

// The weight of one op, with its momentum, in a backend's memory.
class MatrixTrial {
 public:
  MatrixTrial(Backend& backend, const OpDesc& desc, bool wants_dx)
      : backend_(backend), op_(backend.prepare(desc, 4, wants_dx)) {
    const ParameterDesc weight = parameters(desc).front();
    rows = weight.shape.front();
    columns = static_cast<int>(weight.count()) / rows;
    const std::size_t count = op_->stored_count(0);
    std::mt19937 bits(7);
    Values w(weight.count());
    for (double& value : w) value = static_cast<float>(bits() * 0x1p-31 - 1);
    learner = {w, Values(w.size(), 0), {}};
    w_ = stored(w, "w");
    dw_ = std::make_unique<DeviceArray>(backend, std::vector<float>(count), "dw");
    slot_ = std::make_unique<DeviceArray>(backend, std::vector<float>(count), "momentum");
    matrices_ = {{{.offset = 0, .count = count, .rate_factor = 0.5F, .decay = 0.1F, .optimizer = 1},
                  op_.get(),
                  rows,
                  columns,
                  muon_factor(rows, columns)}};
    workspace_ =
        std::make_unique<DeviceArray>(backend, backend.update_workspace_bytes(matrices_), "workspace");
    schedule_.rate = 0.3F;
  }

  // A step on the gradient `dw` [rows, columns], here and in double.
  void step(const Optimizer& optimizer, const Values& dw) {
    std::vector<float> scaled(dw.begin(), dw.end());
    for (float& g : scaled) g *= backend_.loss_scale();
    dw_->upload(in_layout(scaled));
    StepState state = state_at(0);
    state.first_bad_step = kNoBadStep;
    const DeviceArray states(backend_, std::vector<StepState>{state}, "state");
    workspace_->poison();
    const std::vector<Optimizer> optimizers{Optimizer{}, optimizer};
    const std::vector<Segment> none;
    const DeviceMap cast(backend_, std::vector<float>(op_->stored_count(0)), "cast weights");
    backend_.update({.optimizers = &optimizers,
                     .schedule = schedule_,
                     .batching = {.images = 8, .batch = 8},
                     .segments = &none,
                     .matrices = &matrices_,
                     .w = w_->as<float>(),
                     .cast_w = backend_.element() == Element::fp32 ? nullptr : cast.address(),
                     .dw = dw_->as<float>(),
                     .slot0 = slot_->as<float>(),
                     .state = states.as<StepState>(),
                     .workspace = workspace_->as<std::byte>()});
    backend_.wait();
    EXPECT_EQ(states.download<StepState>().front().step, 1U);
    if (backend_.element() != Element::fp32) {
      const Tolerance rounded{.precision = backend_.element() == Element::bf16 ? Precision::bf16 : Precision::fp16};
      const std::vector<float> w = w_->download<float>();
      EXPECT_TRUE(near(cast.download(), Values(w.begin(), w.end()), rounded)) << "cast weights";
    }
    reference::update_matrix(optimizer, schedule_, {rows, columns, 0.5, 0.1}, 0, 0, dw, learner);
    EXPECT_TRUE(w_->guards_whole() && slot_->guards_whole() && workspace_->guards_whole());
  }

  std::vector<float> w() const { return canonical(*w_); }
  std::vector<float> momentum() const { return canonical(*slot_); }
  double rate() const { return 0.5 * static_cast<double>(schedule_.rate); }

  int rows = 0;
  int columns = 0;
  reference::Learner learner;

 private:
  std::vector<float> in_layout(const std::vector<float>& values) const {
    std::vector<float> result(op_->stored_count(0), 0.0F);
    op_->store(0, values.data(), result.data());
    return result;
  }
  std::unique_ptr<DeviceArray> stored(const Values& values, const char* what) const {
    return std::make_unique<DeviceArray>(backend_, in_layout({values.begin(), values.end()}), what);
  }
  std::vector<float> canonical(const DeviceArray& array) const {
    std::vector<float> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    op_->fetch(0, array.download<float>().data(), values.data());
    return values;
  }

  Backend& backend_;
  std::unique_ptr<Op> op_;
  std::unique_ptr<DeviceArray> w_, dw_, slot_, workspace_;
  std::vector<WeightMatrix> matrices_;
  Schedule schedule_;
};

struct Shaped {
  const char* name;
  OpDesc desc;
  bool wants_dx = true;
};

void PrintTo(const Shaped& s, std::ostream* out) {
  *out << describe(s.desc);
}

std::vector<Shaped> shapes() {
  const auto pooled = [](const Shape& in, int kernel, int out) {
    ConvDesc desc = with_pool(conv(in, kernel, out), 2, 2);
    desc.bias = false;
    return desc;
  };
  return {{"tall_first_layer", pooled({28, 28, 1}, 3, 16), false},
          {"wide_first_layer", pooled({28, 28, 1}, 5, 20), false},
          {"wide_conv", pooled({8, 8, 8}, 3, 32)},
          {"odd_conv", conv({7, 6, 3}, 3, 5)},
          {"wide_dense", DenseDesc{.in = 288, .out = 64, .bias = false}},
          {"tall_dense", DenseDesc{.in = 33, .out = 70, .bias = true}},
          {"square_dense", DenseDesc{.in = 48, .out = 48, .bias = false}},
          {"one_row", DenseDesc{.in = 9, .out = 1, .bias = false}},
          {"one_column", DenseDesc{.in = 1, .out = 9, .bias = false}},
          {"sprint_dense", DenseDesc{.in = 432, .out = 256, .bias = false}}};
}

class Muon : public OnBackend, public testing::WithParamInterface<std::tuple<BackendKind, Shaped>> {
 protected:
  void SetUp() override {
    start(std::get<0>(GetParam()));
    const Shaped& shaped = std::get<1>(GetParam());
    trial_ = std::make_unique<MatrixTrial>(backend(), shaped.desc, shaped.wants_dx);
  }

  Values random(double reach) {
    Values values(trial_->learner.w.size());
    for (double& value : values) value = static_cast<float>(reach * (bits_() * 0x1p-31 - 1));
    return values;
  }

  // Each pass multiplies what rounding left by up to 3.4, and its products sum `columns` terms.
  void expect_as_wanted(int passes) const {
    const double length = std::max(trial_->rows, trial_->columns) * std::pow(3.4445, 2 * passes);
    EXPECT_TRUE(near(trial_->w(), trial_->learner.w, Tolerance{.length = length})) << "w";
    EXPECT_TRUE(near(trial_->momentum(), trial_->learner.slot0, Tolerance{.length = 4})) << "momentum";
  }

  std::unique_ptr<MatrixTrial> trial_;
  std::mt19937 bits_{11};
};

TEST_P(Muon, FollowsTheFormulas) {
  for (int i = 0; i < 3; ++i) trial_->step(muon(3, 0.6F), random(0.01));
  expect_as_wanted(3);
}

TEST_P(Muon, TakesAnyNumberOfPassesAndNoMomentum) {
  trial_->step(muon(1, 0), random(1));
  trial_->step(muon(5, 0), random(1));
  expect_as_wanted(5);
}

TEST_P(Muon, TakesHugeGradientsAndSmallOnes) {
  trial_->step(muon(3, 0), random(1e30));
  trial_->step(muon(3, 0), random(1e-4));
  expect_as_wanted(3);
}

TEST_P(Muon, OnlyDecaysWithoutAGradient) {
  const std::vector<float> before = trial_->w();
  trial_->step(muon(3, 0.6F), Values(before.size(), 0));
  const std::vector<float> after = trial_->w();
  for (std::size_t i = 0; i < before.size(); ++i)
    ASSERT_NEAR(after[i], before[i] * (1 - trial_->rate() * 0.1), 1e-6) << i;
}

TEST_P(Muon, TakesAGradientOfRankOne) {
  Values dw(trial_->learner.w.size());
  for (std::size_t i = 0; i < dw.size(); ++i) {
    const auto row = static_cast<int>(i) / trial_->columns;
    const auto column = static_cast<int>(i) % trial_->columns;
    dw[i] = static_cast<float>((1 + row % 3) * (0.5 + column % 5));
  }
  trial_->step(muon(3, 0.6F), dw);
  expect_as_wanted(3);
}

INSTANTIATE_TEST_SUITE_P(Step, Muon,
                         testing::Combine(testing::ValuesIn(all_backends()), testing::ValuesIn(shapes())),
                         [](const auto& info) {
                           return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

// Singular values of m [rows, columns], rows <= columns, by Jacobi's rotations of m m^T.
Values singular_values(const Values& m, int rows, int columns) {
  Values a(static_cast<std::size_t>(rows) * rows);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < rows; ++j)
      a[i * rows + j] = std::inner_product(&m[i * columns], &m[i * columns] + columns, &m[j * columns], 0.0);
  }
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (int p = 0; p < rows; ++p) {
      for (int q = p + 1; q < rows; ++q) {
        if (std::abs(a[p * rows + q]) < 1e-15) continue;
        const double angle = std::atan2(2 * a[p * rows + q], a[q * rows + q] - a[p * rows + p]) / 2;
        const double c = std::cos(angle);
        const double s = std::sin(angle);
        for (int k = 0; k < rows; ++k) {
          const double x = a[k * rows + p];
          const double y = a[k * rows + q];
          a[k * rows + p] = c * x - s * y;
          a[k * rows + q] = s * x + c * y;
        }
        for (int k = 0; k < rows; ++k) {
          const double x = a[p * rows + k];
          const double y = a[q * rows + k];
          a[p * rows + k] = c * x - s * y;
          a[q * rows + k] = s * x + c * y;
        }
      }
    }
  }
  Values values;
  for (int i = 0; i < rows; ++i) values.push_back(std::sqrt(std::max(a[i * rows + i], 0.0)));
  std::sort(values.begin(), values.end());
  return values;
}

double iterated(double s, int passes) {
  for (; passes > 0; --passes) s = 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s;
  return s;
}

// A pass moves each singular value on its own: three of them lift all that were above 0.1 to between 0.68 and
// 1.14 (the polynomial's own bounds), and leave zeros alone.
TEST(NewtonSchulz, MovesEverySingularValueByThePolynomial) {
  constexpr int kRows = 12;
  constexpr int kColumns = 40;
  std::mt19937 bits(3);
  for (const int rank : {kRows, kRows / 2}) {
    Values m(static_cast<std::size_t>(kRows) * kColumns);
    for (double& value : m) value = bits() * 0x1p-31 - 1;
    for (int i = rank; i < kRows; ++i)
      std::copy_n(m.begin() + (i - rank) * kColumns, kColumns, m.begin() + i * kColumns);
    const double norm = std::sqrt(std::inner_product(m.begin(), m.end(), m.begin(), 0.0));
    Values want = singular_values(m, kRows, kColumns);
    for (double& s : want) s = iterated(s / norm, 3);
    std::sort(want.begin(), want.end());
    const Values got = singular_values(reference::newton_schulz(m, kRows, kColumns, 3), kRows, kColumns);
    for (int i = 0; i < kRows; ++i) {
      EXPECT_NEAR(got[i], want[i], 1e-6);
      if (i < kRows - rank) {
        EXPECT_LT(got[i], 1e-6);
      } else {
        EXPECT_GT(got[i], 0.6);
        EXPECT_LT(got[i], 1.21);
      }
    }
  }
}

TEST(NewtonSchulz, BringsWideAndTallMatricesNearToOrthogonalOnEveryBackend) {
  for (const BackendKind kind : all_backends()) {
    const auto backend = make_backend(kind);
    for (const auto& [in, out] : {std::pair{96, 24}, {24, 96}}) {
      MatrixTrial trial(*backend, DenseDesc{.in = in, .out = out, .bias = false}, true);
      std::mt19937 bits(5);
      Values dw(trial.learner.w.size());
      for (double& value : dw) value = static_cast<float>(bits() * 0x1p-31 - 1);
      const std::vector<float> before = trial.w();
      trial.step(muon(3, 0), dw);
      const std::vector<float> after = trial.w();
      // w - after = rate (decay w + factor X)
      Values x(dw.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double moved = (before[i] - after[i]) / trial.rate() - 0.1 * before[i];
        const std::size_t at = out <= in ? i : i % in * out + i / in;  // X^T of a tall one
        x[at] = moved / static_cast<double>(muon_factor(out, in));
      }
      const Values s = singular_values(x, std::min(in, out), std::max(in, out));
      EXPECT_GT(s.front(), 0.5) << backend_name(kind);
      EXPECT_LT(s.back(), 1.22) << backend_name(kind);
    }
  }
}

}  // namespace
}  // namespace trainer
