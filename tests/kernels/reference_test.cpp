// Checks the reference itself: every gradient against central differences of its own forward, and what has no gradient
// against small examples worked out by hand or published.
#include "tests/reference/reference.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <string>

#include "tests/kernels/conformance_cases.hpp"
#include "tests/kernels/samples.hpp"

namespace trainer {
namespace {

using reference::Tensors;
using reference::Values;

// The function that backward differentiates: the head's mean loss, else the sum of dy y. What a residual block reads goes
// a second way, whose gradient is skip.
double objective(const OpDesc& desc, Tensors t) {
  reference::forward(desc, t);
  if (std::holds_alternative<HeadDesc>(desc)) return t.loss / t.valid;
  double sum = 0;
  for (std::size_t i = 0; i < t.y.size(); ++i) sum += t.y[i] * t.dy[i];
  for (std::size_t i = 0; i < t.skip.size(); ++i) sum += t.x[i] * t.skip[i];
  return sum;
}

struct DifferenceCase {
  std::string name;
  OpDesc desc;
  int batch = 2;
  int valid = 0;  // 0: all
};

Tensors tensors_of(const DifferenceCase& c) {
  Tensors t = sample_tensors(c.desc, c.batch, c.valid > 0 ? c.valid : c.batch, SampleKind::smooth);
  reference::forward(c.desc, t);
  drop_undecided(1e-3, t);
  return t;
}

// `pick` selects the values to vary, within a copy of t.
template <typename Pick>
void expect_differences(const DifferenceCase& c, const Tensors& t, const Values& gradient, std::size_t moved,
                        Pick pick) {
  Tensors probe = t;
  ASSERT_EQ(gradient.size(), pick(probe).size());
  double scale = 0;
  for (const double g : gradient) scale = std::max(scale, std::abs(g));
  EXPECT_GT(scale, 0) << c.name << ": nothing to compare";
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < moved; ++i) {
    Tensors up = t;
    Tensors down = t;
    pick(up)[i] += kStep;
    pick(down)[i] -= kStep;
    const double slope = (objective(c.desc, up) - objective(c.desc, down)) / (2 * kStep);
    EXPECT_NEAR(gradient[i], slope, 1e-6 * scale) << c.name << " element " << i;
  }
}

class Gradient : public testing::TestWithParam<DifferenceCase> {};

TEST_P(Gradient, EqualsCentralDifferences) {
  const DifferenceCase& c = GetParam();
  Tensors t = tensors_of(c);
  reference::backward(c.desc, t);
  const std::size_t valid_elements = t.valid * in_shape(c.desc).size();
  expect_differences(c, t, t.dx, valid_elements, [](Tensors& all) -> Values& { return all.x; });
  for (std::size_t i = valid_elements; i < t.dx.size(); ++i) EXPECT_EQ(t.dx[i], 0) << "of a masked row";
  for (std::size_t p = 0; p < t.gradients.size(); ++p) {
    expect_differences(c, t, t.gradients[p], t.gradients[p].size(),
                       [p](Tensors& all) -> Values& { return all.parameters[p]; });
  }
}

const DifferenceCase kDifferenceCases[] = {
    {"conv", ConvDesc{.in = {5, 4, 3}, .out = 4, .kernel = 3, .pad = {}, .pool = {}}},
    {"conv_one_pixel", ConvDesc{.in = {1, 1, 5}, .out = 3, .kernel = 1, .pad = {}, .pool = {}}},
    {"conv_border", ConvDesc{.in = {5, 6, 2}, .out = 3, .kernel = 5, .pad = {2, 2, 2, 2}, .pool = {}}},
    {"conv_asymmetric", ConvDesc{.in = {4, 5, 2}, .out = 3, .kernel = 2, .pad = {0, 1, 1, 0}, .pool = {}}},
    {"conv_stride",
     ConvDesc{.in = {7, 5, 2}, .out = 3, .kernel = 3, .stride = 2, .pad = {1, 1, 1, 1}, .pool = {}}},
    {"conv_no_bias",
     ConvDesc{.in = {4, 4, 2}, .out = 3, .kernel = 3, .pad = {}, .bias = false, .relu = true, .pool = {}}},
    {"conv_relu_pool",
     ConvDesc{.in = {7, 8, 1}, .out = 3, .kernel = 3, .pad = {}, .relu = true, .pool = {2, 2}}},
    {"conv_pool", ConvDesc{.in = {6, 6, 2}, .out = 2, .kernel = 3, .pad = {}, .pool = {2, 2}}},
    {"conv_overlap",
     ConvDesc{.in = {9, 8, 2}, .out = 2, .kernel = 3, .pad = {1, 1, 1, 1}, .relu = true, .pool = {3, 2}}},
    {"conv_masked", ConvDesc{.in = {5, 5, 1}, .out = 2, .kernel = 3, .pad = {}, .relu = true, .pool = {}}, 3,
     2},
    {"dense", DenseDesc{.in = 7, .out = 5}},
    {"dense_relu", DenseDesc{.in = 7, .out = 5, .relu = true}, 3, 2},
    {"dense_no_bias", DenseDesc{.in = 3, .out = 1, .bias = false}, 1},
    {"head", HeadDesc{.in = 6, .classes = 4}, 3},
    {"head_masked", HeadDesc{.in = 6, .classes = 4}, 4, 3},
    {"head_no_bias", HeadDesc{.in = 5, .classes = 2, .bias = false}, 2},
    {"maxpool", MaxPoolDesc{{6, 7, 3}, {2, 2}}},
    {"maxpool_overlap", MaxPoolDesc{{7, 9, 2}, {3, 2}}},
    {"avgpool", AvgPoolDesc{{6, 7, 3}, {2, 2}}},
    {"avgpool_overlap", AvgPoolDesc{{7, 5, 2}, {3, 2}}},
    {"relu", ReluDesc{{3, 4, 2}}},
    {"dropout", DropoutDesc{{3, 4, 2}, 0.25F, 3}},
    {"batchnorm", BatchNormDesc{.in = {3, 2, 3}}, 4},
    {"batchnorm_masked", BatchNormDesc{.in = {1, 1, 5}}, 6, 4},
    {"normalised_conv",
     NormalisedDesc{
         ConvDesc{.in = {6, 6, 2}, .out = 3, .kernel = 3, .pad = {}, .bias = false, .pool = {2, 2}},
         BatchNormDesc{.in = {2, 2, 3}, .gamma = false, .gelu = true}},
     4, 3},
    {"normalised_dense",
     NormalisedDesc{DenseDesc{.in = 5, .out = 4, .bias = false},
                    BatchNormDesc{.in = {1, 1, 4}, .gamma = false}},
     5},
};

INSTANTIATE_TEST_SUITE_P(Ops, Gradient, testing::ValuesIn(kDifferenceCases),
                         [](const auto& info) { return info.param.name; });

// Whether backward is the gradient of forward alone: a head and the layer at its input may share the work.
bool stands_alone(const OpDesc& desc) {
  const auto* dense = std::get_if<DenseDesc>(&desc);
  const auto* head = std::get_if<HeadDesc>(&desc);
  return (dense == nullptr || !dense->y_map.masked) && (head == nullptr || !head->x_map.masked);
}

// The small ones of the conformance suite's odd sizes, so that their gradients are checked too.
std::vector<DifferenceCase> conformance_rows() {
  std::vector<OpCase> cases = element_cases();
  for (const auto& more : {sprint_cases(), conv_cases(), plain_cases()})
    cases.insert(cases.end(), more.begin(), more.end());
  std::vector<DifferenceCase> rows;
  for (const OpCase& c : cases) {
    const bool small = c.batch * in_shape(c.desc).size() <= 400 && forward_flops(c.desc) <= 20'000;
    if (!small || c.kind != SampleKind::smooth || !stands_alone(c.desc)) continue;
    rows.push_back({c.name, c.desc, c.batch, c.valid});
  }
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Rows, Gradient, testing::ValuesIn(conformance_rows()),
                         [](const auto& info) { return info.param.name; });

TEST(Reference, FirstOfEqualMaximaTakesTheGradient) {
  Tensors t;
  t.x = {1, 2, 2, 2};
  t.dy = {5};
  const OpDesc desc = MaxPoolDesc{{2, 2, 1}, {2, 2}};
  reference::forward(desc, t);
  reference::backward(desc, t);
  EXPECT_EQ(t.y, Values({2}));
  EXPECT_EQ(t.dx, Values({0, 5, 0, 0}));
  EXPECT_EQ(t.margin, Values({1}));
}

TEST(Reference, NothingPassesAReluAtZero) {
  Tensors t;
  t.x = {-1, 0, 1};
  t.dy = {1, 1, 1};
  reference::backward(ReluDesc{{1, 1, 3}}, t);
  EXPECT_EQ(t.dx, Values({0, 0, 1}));
}

TEST(Reference, EqualLogitsLoseTheLogarithmOfTheClasses) {
  Tensors t;
  t.x = {3};
  t.parameters = {{0, 0, 0, 0}, {1, 1, 1, 1}};
  t.labels = {0};
  reference::forward(HeadDesc{.in = 1, .classes = 4}, t);
  EXPECT_NEAR(t.loss, std::log(4.0), 1e-15);
  EXPECT_EQ(t.correct, 1U);
}

TEST(Reference, RunningVarianceIsUnbiasedAndMovesByMomentum) {
  Tensors t;
  t.batch = 3;
  t.valid = 2;
  t.x = {1, 3, 100};
  t.parameters = {{1}, {0}, {10}, {20}};
  reference::forward(BatchNormDesc{.in = {1, 1, 1}, .epsilon = 0, .momentum = 0.5F}, t);
  EXPECT_EQ(t.parameters[2], Values({6}));
  EXPECT_EQ(t.parameters[3], Values({11}));
  EXPECT_EQ(t.y, Values({-1, 1, 98}));
}

}  // namespace
}  // namespace trainer
