// Muon on every backend, in whatever layout an op keeps its weights: steps compared with the formulas in double
// (tests/reference/training.hpp), and how close to orthogonal its directions are.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <tuple>

#include "tests/kernels/conformance_cases.hpp"
#include "tests/kernels/matrix_trial.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

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

  // Each iteration multiplies rounding errors by up to 3.4, and its products sum `columns` terms. If the network's
  // products are not fp32, those of the iterations may be TF32.
  void expect_as_wanted(int iterations) const {
    const double length = std::max(trial_->rows, trial_->columns) * std::pow(3.4445, 2 * iterations);
    const BackendKind kind = std::get<0>(GetParam());
    const bool whole = kind == BackendKind::cpu_bf16 || precision_of(kind) == Precision::fp32;
    const Tolerance tolerance{.precision = whole ? Precision::fp32 : Precision::tf32, .length = length};
    EXPECT_TRUE(near(trial_->w(), trial_->learner.w, tolerance)) << "w";
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

TEST_P(Muon, TakesGradientsAsTheyAreStored) {
  trial_->reduced_precision_gradients();
  trial_->step(muon(3, 0.6F), random(0.01));
  trial_->step(muon(3, 0.6F), random(0.01));
  expect_as_wanted(3);
}

// The directions do not depend on a gradient's size, but their momentum does.
TEST_P(Muon, FollowsClippedGradients) {
  trial_->reduced_precision_gradients();
  trial_->step(muon(3, 0.6F), random(0.01), 1.5F, 1e-3F);
  trial_->step(muon(3, 0.6F), random(5), 1.5F, 1e-3F);
  expect_as_wanted(3);
}

TEST_P(Muon, ChangesNothingWhereTheLossIsNotFinite) {
  trial_->step(muon(3, 0.6F), random(0.01));
  const std::vector<float> w = trial_->w();
  const std::vector<float> momentum = trial_->momentum();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    trial_->step(muon(3, 0.6F), random(0.01), bad);
  EXPECT_EQ(trial_->w(), w);
  EXPECT_EQ(trial_->momentum(), momentum);
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

double iterated(double s, int iterations) {
  for (; iterations > 0; --iterations) s = 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s;
  return s;
}

// An iteration maps each singular value independently: three of them lift all that were above 0.1 to between 0.68 and
// 1.14 (the polynomial's own bounds), and leave zeros unchanged.
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
