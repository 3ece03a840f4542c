// The selection of a batch's hardest images: how many and which; the reference's backward through them against
// independent formulas; and every op of every backend with a head that selects.
#include "kernels/math/selection.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <tuple>

#include "tests/kernels/conformance_inputs.hpp"
#include "tests/kernels/op_trial.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

using reference::Tensors;
using reference::Values;

TEST(Selection, TheShareIsRoundedDownAndBeginsWithTheFirstStepNotBeforeFrom) {
  const Selection c165{0.35, 0.25};
  EXPECT_EQ(selected_rows(c165, 41, 165, 256), 256U);
  EXPECT_EQ(selected_rows(c165, 42, 165, 256), 89U);
  EXPECT_EQ(selected_rows(c165, 42, 165, 100), 35U) << "of a short batch";
  EXPECT_EQ(selected_rows({0.5, 0.25}, 25, 100, 7), 3U) << "at the very step";
  EXPECT_EQ(selected_rows({0.1, 0}, 0, 100, 5), 1U) << "one at least";
  EXPECT_EQ(selected_rows({0.1, 0}, 0, 100, 0), 0U);
  EXPECT_EQ(selected_rows({}, 99, 100, 256), 256U) << "no selection";
}

TEST(Selection, TheLargestLossComesFirstAndOfEqualOnesTheFirstRow) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> losses{0.5F, 2, 0, 2, -1e-8F, INFINITY, kNaN, 1e-40F};
  std::vector<std::uint32_t> rows{0, 1, 2, 3, 4, 5, 6, 7};
  std::sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
    return hardness_key(losses[a], a) < hardness_key(losses[b], b);
  });
  EXPECT_EQ(rows, (std::vector<std::uint32_t>{6, 5, 1, 3, 0, 7, 2, 4}));
}

HeadDesc selecting_head(double share, double from) {
  return {.in = 6, .classes = 4, .logit_scale = 0.5F, .label_smoothing = 0.2F, .selection = {share, from}};
}

// The mean smoothed loss of some rows, each as a separate batch.
double mean_loss(const HeadDesc& desc, const Tensors& t, const std::vector<std::uint8_t>& rows) {
  double sum = 0;
  int count = 0;
  for (std::size_t n = 0; n < rows.size(); ++n) {
    if (rows[n] == 0) continue;
    Tensors one = t;
    one.batch = one.valid = 1;
    const auto begin = t.x.begin() + static_cast<std::ptrdiff_t>(n) * desc.in;
    one.x.assign(begin, begin + desc.in);
    one.labels = {t.labels[n]};
    reference::forward(desc, one);
    sum += one.loss;
    ++count;
  }
  return sum / count;
}

TEST(SelectionReference, TheHeadsGradientIsThatOfTheMeanLossOfTheRowsWithTheLargestPlainLosses) {
  const HeadDesc desc = selecting_head(0.4, 0.5);
  Tensors t = sample_tensors(desc, 9, 8, SampleKind::smooth);
  reference::forward(desc, t);
  ASSERT_EQ(std::count(t.kept.begin(), t.kept.end(), 1), 3);
  double easiest_kept = INFINITY;
  double hardest_left = 0;
  for (std::size_t n = 0; n < 8; ++n) {
    std::vector<std::uint8_t> alone(9, 0);
    alone[n] = 1;
    HeadDesc plain = desc;
    plain.label_smoothing = 0;
    const double loss = mean_loss(plain, t, alone);
    (t.kept[n] == 1 ? easiest_kept : hardest_left) =
        t.kept[n] == 1 ? std::min(easiest_kept, loss) : std::max(hardest_left, loss);
  }
  EXPECT_GT(easiest_kept, hardest_left);
  EXPECT_EQ(t.kept[8], 0) << "no image";
  reference::backward(desc, t);
  constexpr double kStep = 1e-5;
  const auto expect_slope = [&](const Values& gradient, auto pick) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      Tensors up = t;
      Tensors down = t;
      pick(up)[i] += kStep;
      pick(down)[i] -= kStep;
      const double slope = (mean_loss(desc, up, t.kept) - mean_loss(desc, down, t.kept)) / (2 * kStep);
      EXPECT_NEAR(gradient[i], slope, 1e-8) << i;
    }
  };
  expect_slope(t.dx, [](Tensors& all) -> Values& { return all.x; });
  expect_slope(t.gradients[0], [](Tensors& all) -> Values& { return all.parameters[0]; });
  expect_slope(t.gradients[1], [](Tensors& all) -> Values& { return all.parameters[1]; });
}

TEST(SelectionReference, EqualLossesAreTakenInTheOrderOfTheBatch) {
  const HeadDesc desc = selecting_head(0.5, 0);
  Tensors t = sample_tensors(desc, 6, 6, SampleKind::smooth);
  for (std::size_t i = 0; i < t.x.size(); ++i) t.x[i] = t.x[i % 6];
  t.labels.assign(6, 2);
  reference::forward(desc, t);
  EXPECT_EQ(t.kept, (std::vector<std::uint8_t>{1, 1, 1, 0, 0, 0}));
}

// reference_test.cpp checks the exact gradient of a batch normalisation against differences. With selected rows, dx is
// the exact one in these rows and 0 in all others.
TEST(SelectionReference, ANormalisationsGradientIsTheExactOneWithoutTheRowsThatAreNotKept) {
  for (const bool gain : {true, false}) {
    const BatchNormDesc desc{.in = {2, 3, 4}, .gamma = gain, .gelu = !gain};
    const std::vector<std::uint8_t> kept{0, 1, 0, 0, 1, 1, 0};
    Tensors t = sample_tensors(desc, 7, 6, SampleKind::smooth);
    for (std::size_t i = 0; i < t.dy.size(); ++i) t.dy[i] *= kept[i / desc.in.size()];
    Tensors exact = t;
    t.kept = kept;
    reference::backward(desc, t);
    reference::backward(desc, exact);
    EXPECT_EQ(t.gradients, exact.gradients);
    bool reaches_others = false;
    for (std::size_t i = 0; i < t.dx.size(); ++i) {
      const bool keeps = kept[i / desc.in.size()] == 1;
      reaches_others = reaches_others || (!keeps && exact.dx[i] != 0);
      EXPECT_EQ(t.dx[i], keeps ? exact.dx[i] : 0) << i;
    }
    EXPECT_TRUE(reaches_others) << "nothing was cut";
  }
}

// Every third valid row or, with `all`, all of them, as before the selection begins.
std::vector<std::uint8_t> kept_of(const Tensors& t, bool all) {
  std::vector<std::uint8_t> kept(static_cast<std::size_t>(t.batch), 0);
  for (std::size_t n = 0; n < static_cast<std::size_t>(t.valid); ++n) kept[n] = all || n % 3 == 1 ? 1 : 0;
  return kept;
}

Tolerance tolerance_of(const OpCase& c, const Values& want, const Tensors& t, Precision precision) {
  const double length = t.valid * std::max<double>(in_shape(c.desc).size(), out_shape(c.desc).size());
  return {.precision = precision, .length = length, .term = largest(want), .zeros = 0.97};
}

void check_selected(Backend& backend, const OpCase& c, Precision precision, bool all) {
  Tensors t = inputs_of(c, precision);
  const bool head = std::holds_alternative<HeadDesc>(c.desc);
  const std::vector<std::uint8_t> kept = kept_of(t, all);
  if (!head) t.kept = kept;
  for (std::size_t i = 0; !head && i < t.dy.size(); ++i) t.dy[i] *= kept[i / out_shape(c.desc).size()];
  Tensors want = t;
  reference::forward(c.desc, want);
  drop_undecided(undecided(c.desc, precision), want);
  t.dy = want.dy;
  reference::backward(c.desc, want);
  for (const bool wants_dx : {true, false}) {
    const auto* fused = std::get_if<NormalisedDesc>(&c.desc);
    if (fused != nullptr && !backend.fuses(*fused, c.batch, wants_dx)) continue;
    for (const bool selected_only : {false, true}) {
      SCOPED_TRACE(fmt::format("{}, dx {}, the rest {}", describe(c.desc), wants_dx, !selected_only));
      const OpResult got = run_op(backend, c.desc, t, wants_dx, selected_only);
      for (const std::string& fault : got.faults) ADD_FAILURE() << fault;
      EXPECT_EQ(got.kept, want.kept);
      const auto dx = got.dx.empty() ? testing::AssertionSuccess()
                                     : near(got.dx, want.dx, tolerance_of(c, want.dx, want, precision));
      EXPECT_TRUE(dx) << "dx";
      ASSERT_EQ(got.gradients.size(), want.gradients.size());
      for (std::size_t i = 0; i < got.gradients.size(); ++i) {
        const Tolerance sums = tolerance_of(c, want.gradients[i], want, precision);
        EXPECT_TRUE(near(got.gradients[i], want.gradients[i], sums)) << "gradient " << i;
      }
      EXPECT_TRUE(got.same_bits(run_op(backend, c.desc, t, wants_dx, selected_only)));
    }
  }
}

std::vector<OpCase> selected_cases() {
  const ConvDesc lean1 = without_bias(with_pool(conv({28, 28, 1}, 3, 8), 3, 3));
  const ConvDesc lean2 = without_bias(with_pool(conv({8, 8, 8}, 3, 24), 2, 2));
  DenseDesc dense1 = dense(36, 20);
  dense1.y_map.selected_rows = 4;
  DenseDesc masking = with_relu(dense1);
  HeadDesc wide{.in = 30, .classes = 10, .label_smoothing = 0.2F, .selection = {0.35, 0.25}};
  HeadDesc later = wide;
  later.selection.from = 0.75;
  HeadDesc masks = wide;
  masks.x_map.masked = true;
  const BatchNormDesc gained{.in = {3, 4, 5}, .gamma = true};
  return {
      {"head", wide, 23},
      {"head_masked", wide, 23, 17},
      {"head_of_many_rows", wide, 600, 599},
      {"head_one_row", wide, 4, 1},
      {"head_before_it_begins", later, 9, 7},
      {"head_masks_dx", masks, 11},
      {"dense", dense1, 12},
      {"dense_masked", dense1, 12, 7},
      {"dense_relu", masking, 12, 10},
      {"dense_unaware", dense(36, 20), 12, 10},
      {"conv_one_channel_pooled", lean1, 7, 6},
      {"conv_one_channel", conv({9, 8, 1}, 3, 5), 7},
      {"conv_few_channels", lean2, 7, 6},
      {"conv_pooled", with_relu(with_pool(same(conv({7, 6, 5}, 5, 9)), 3, 2)), 7},
      {"conv", with_relu(conv({7, 6, 5}, 3, 9)), 7, 6},
      {"norm_of_maps", sprint_norm({8, 8, 8}), 13, 12},
      {"norm_of_small_maps", sprint_norm({3, 3, 24}), 13},
      {"norm_of_a_vector", sprint_norm({1, 1, 64}), 40, 39},
      {"norm_with_gain", gained, 9},
      {"norm_of_many_channels", sprint_norm({2, 1, 300}), 9},
      {"maxpool", MaxPoolDesc{{6, 7, 3}, {2, 2}}, 7},
      {"gelu", GeluDesc{{3, 4, 2}}, 7},
      {"normalised_first", NormalisedDesc{lean1, sprint_norm(out_shape(lean1))}, 13, 12},
      {"normalised_conv", NormalisedDesc{lean2, sprint_norm(out_shape(lean2))}, 13, 12},
      {"normalised_dense",
       NormalisedDesc{DenseDesc{.in = 36, .out = 20, .bias = false}, sprint_norm({1, 1, 20})}, 13, 12},
  };
}

using SelectedParam = std::tuple<BackendKind, OpCase>;

class Selected : public OnBackend, public testing::WithParamInterface<SelectedParam> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
};

TEST_P(Selected, RowsAreGoneOverAloneAndTheOthersHaveNoGradient) {
  check_selected(backend(), std::get<1>(GetParam()), precision_of(std::get<0>(GetParam())), false);
}

TEST_P(Selected, BeforeTheSelectionBeginsAllValidRowsAre) {
  check_selected(backend(), std::get<1>(GetParam()), precision_of(std::get<0>(GetParam())), true);
}

std::string selected_name(const testing::TestParamInfo<SelectedParam>& info) {
  return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Ops, Selected,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(selected_cases())),
                         selected_name);

}  // namespace
}  // namespace trainer
