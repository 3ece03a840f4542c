// A network that diverges must be detected: a NaN passes through every op to the loss and is not cut off by a ReLU or
// lost in a pooling window. Otherwise a run would continue with ruined weights and a plausible loss.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <tuple>

#include "tests/kernels/conformance_cases.hpp"
#include "tests/kernels/op_trial.hpp"
#include "tests/support/backends.hpp"

namespace trainer {
namespace {

using reference::Tensors;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Param = std::tuple<BackendKind, OpCase>;

class NotANumber : public OnBackend, public testing::WithParamInterface<Param> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
};

Tensors inputs(const OpCase& c) {
  Tensors t = sample_tensors(c.desc, c.batch, c.batch, c.kind);
  reference::backward(c.desc, t);
  return t;
}

TEST_P(NotANumber, InAPictureReachesTheOutput) {
  const OpCase& c = std::get<1>(GetParam());
  for (const bool wants_dx : {false, true}) {
    Tensors t = inputs(c);
    const std::size_t image = in_shape(c.desc).size();
    for (std::size_t i = 0; i < image; ++i) t.x[image + i] = kNaN;
    const OpResult got = run_op(backend(), c.desc, t, wants_dx);
    const std::size_t map = out_shape(c.desc).size();
    for (std::size_t i = 0; i < map; ++i) {
      ASSERT_TRUE(std::isnan(got.y[map + i])) << i << " of " << describe(c.desc) << ", dx " << wants_dx;
      ASSERT_TRUE(std::isfinite(got.y[i])) << i << " of the image beside it";
    }
  }
}

TEST_P(NotANumber, InOneWeightReachesItsChannel) {
  const OpCase& c = std::get<1>(GetParam());
  if (parameters(c.desc).empty()) return;
  for (const bool wants_dx : {false, true}) {
    Tensors t = inputs(c);
    t.parameters[0][0] = kNaN;
    const OpResult got = run_op(backend(), c.desc, t, wants_dx);
    const auto channels = static_cast<std::size_t>(out_shape(c.desc).c);
    for (std::size_t i = 0; i < got.y.size(); i += channels) {
      ASSERT_TRUE(std::isnan(got.y[i])) << i << " of " << describe(c.desc) << ", dx " << wants_dx;
    }
  }
}

std::vector<OpCase> cases() {
  const Shape map{8, 8, 3};
  return {
      {"conv", conv(map, 3, 8)},
      {"conv_relu", with_relu(conv(map, 3, 8))},
      {"conv_relu_pool", with_relu(with_pool(conv(map, 3, 8), 2, 2))},
      {"conv_one_channel", with_relu(conv({8, 8, 1}, 3, 5))},
      {"conv_one_channel_pool", with_relu(with_pool(conv({8, 8, 1}, 3, 8), 2, 2))},
      {"conv_one_channel_pool_wide", with_relu(with_pool(conv({8, 8, 1}, 3, 16), 2, 2))},
      {"conv_small_pool", with_relu(with_pool(conv({8, 8, 8}, 3, 16), 2, 2))},
      {"dense_small", DenseDesc{.in = 32, .out = 16, .relu = true, .y_map = {.masked = true}}},
      {"dense", dense(33, 16)},
      {"dense_relu", with_relu(dense(33, 16))},
      {"head", HeadDesc{.in = 16, .classes = 10}},
      {"maxpool", MaxPoolDesc{map, {2, 2}}},
      {"avgpool", AvgPoolDesc{map, {2, 2}}},
      {"relu", ReluDesc{map}},
  };
}

INSTANTIATE_TEST_SUITE_P(Ops, NotANumber,
                         testing::Combine(testing::ValuesIn(tested_backends()), testing::ValuesIn(cases())),
                         [](const auto& info) {
                           return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

class NotFinite : public OnBackend, public testing::WithParamInterface<BackendKind> {
 protected:
  void SetUp() override { start(GetParam()); }
};

TEST_P(NotFinite, LogitMakesTheLossSoUnlessItsRowIsMasked) {
  const OpDesc desc = HeadDesc{.in = 16, .classes = 10};
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    for (const int row : {0, 3, 4}) {
      Tensors t = sample_tensors(desc, 6, 4, SampleKind::smooth);
      reference::backward(desc, t);
      t.x[static_cast<std::size_t>(row) * 16 + 5] = bad;
      const OpResult got = run_op(backend(), desc, t, true);
      EXPECT_EQ(std::isfinite(got.state.batch_loss), row >= t.valid) << bad << " in row " << row;
      EXPECT_EQ(got.state.images, kImagesBefore + 4);
    }
  }
}

// The running variance is that of n - 1 values; of a single value the biased one, 0, takes its place.
TEST_P(NotFinite, IsNoRunningStatisticOfASingleValue) {
  const OpDesc desc = BatchNormDesc{.in = {1, 1, 5}};
  Tensors t = sample_tensors(desc, 3, 1, SampleKind::smooth);
  reference::backward(desc, t);
  const OpResult got = run_op(backend(), desc, t, true);
  ASSERT_EQ(got.running.size(), 2U);
  for (const std::vector<float>& statistic : got.running)
    for (const float value : statistic) EXPECT_TRUE(std::isfinite(value));
}

INSTANTIATE_TEST_SUITE_P(All, NotFinite, testing::ValuesIn(tested_backends()),
                         [](const auto& info) { return backend_name(info.param); });

}  // namespace
}  // namespace trainer
