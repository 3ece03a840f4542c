// Padded channels: the shapes that the shipped networks get, and where a parameter's own values lie.
#include "models/padding.hpp"

#include <gtest/gtest.h>

#include "tests/models/spec_text.hpp"

namespace trainer::test {
namespace {

Plan plan_of_shipped(const std::string& model) {
  return make_plan(shipped(model), {{28, 28, 1}, 10, 64});
}

std::vector<std::string> texts(const std::vector<OpDesc>& ops) {
  std::vector<std::string> all;
  for (const OpDesc& op : ops) all.push_back(describe(op));
  return all;
}

std::vector<std::string> texts(const Plan& plan) {
  std::vector<std::string> all;
  for (const PlannedOp& op : plan.ops) all.push_back(describe(op.desc));
  return all;
}

TEST(Padding, ChangesNothingWhereEveryWidthIsAMultiple) {
  for (const char* model : {"quick", "tf-sample", "pytorch-example", "cntk-convnet"}) {
    EXPECT_EQ(texts(pad_channels(plan_of_shipped(model), 8).ops), texts(plan_of_shipped(model))) << model;
    EXPECT_EQ(texts(pad_channels(plan_of_shipped(model), 1).ops), texts(plan_of_shipped(model))) << model;
  }
}

TEST(Padding, WidensLenetButNotItsInputAndItsClasses) {
  const Plan plan = plan_of_shipped("lenet");
  const PaddedPlan padded = pad_channels(plan, 8);
  EXPECT_EQ(texts(padded.ops), (std::vector<std::string>{"conv 5x5x24 on 28x28x1, maxpool 2",
                                                         "conv 5x5x56 on 12x12x24, maxpool 2",
                                                         "dense 896x504, relu", "head 504x10"}));
  for (std::size_t i = 0; i < padded.ops.size(); ++i) {
    const std::vector<ParameterDesc> wide = parameters(padded.ops[i]);
    const std::vector<PlannedParameter>& own = plan.ops[i].parameters;
    ASSERT_EQ(padded.parameters[i].size(), wide.size());
    for (std::size_t p = 0; p < wide.size(); ++p) {
      const PaddedParameter& around = padded.parameters[i][p];
      EXPECT_EQ(around.padded_count(), wide[p].count()) << i << ", " << p;
      EXPECT_EQ(around.outer * around.spatial * around.inner, own[p].desc.count()) << i << ", " << p;
    }
  }
}

TEST(Padding, GoesThroughEveryOtherOp) {
  const Spec spec = spec_with_layers(
      "  - conv: {out: 5, kernel: 3}\n  - batchnorm\n  - relu\n  - maxpool: {size: 2}\n  - dropout: {drop: "
      "0.5}\n"
      "  - conv: {out: 9, kernel: 3}\n  - avgpool: {size: 11}\n  - dense: {out: 12}\n  - batchnorm\n"
      "  - dense: {out: classes}\n");
  const Plan plan = make_plan(spec, {{28, 28, 1}, 10, 4});
  const PaddedPlan padded = pad_channels(plan, 8);
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    const std::size_t before = i == 0 ? plan.input.image.size() : out_shape(padded.ops[i - 1]).size();
    EXPECT_EQ(in_shape(padded.ops[i]).size(), before) << i;
    const int channels = out_shape(padded.ops[i]).c;
    EXPECT_EQ(channels, i + 1 == plan.ops.size() ? 10 : (out_shape(plan.ops[i].desc).c + 7) / 8 * 8) << i;
    EXPECT_EQ(padded.parameters[i].size(), plan.ops[i].parameters.size()) << i;
  }
}

TEST(Padding, PutsValuesApartAndBack) {
  const PaddedParameter around{2, 2, 3, 4, 5};
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::vector<float> padded = around.pad(values);
  EXPECT_EQ(padded, (std::vector<float>{1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9, 0, 0, 10, 11, 12, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0, 0}));
  EXPECT_EQ(around.unpad(padded), values);
}

}  // namespace
}  // namespace trainer::test
