// Lowering: padded channels and where a parameter's own values lie, normalisations taken in, and what neighbours agree on.
#include "models/lower.hpp"

#include <gtest/gtest.h>

#include "tests/models/spec_text.hpp"
#include "tests/support/backends.hpp"

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

TEST(Lower, PaddingChangesNothingWhereEveryWidthIsAMultiple) {
  for (const char* model : {"quick", "tf-sample", "pytorch-example", "cntk-convnet"}) {
    EXPECT_EQ(texts(pad_channels(plan_of_shipped(model), 8).ops), texts(plan_of_shipped(model))) << model;
    EXPECT_EQ(texts(pad_channels(plan_of_shipped(model), 1).ops), texts(plan_of_shipped(model))) << model;
  }
}

TEST(Lower, PaddingWidensLenetButNotItsInputAndItsClasses) {
  const Plan plan = plan_of_shipped("lenet");
  const LoweredPlan padded = pad_channels(plan, 8);
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

TEST(Lower, PaddingGoesThroughEveryOtherOp) {
  const Spec spec = spec_with_layers(
      "  - conv: {out: 5, kernel: 3}\n  - batchnorm\n  - relu\n  - maxpool: {size: 2}\n  - dropout: {drop: "
      "0.5}\n"
      "  - conv: {out: 9, kernel: 3}\n  - avgpool: {size: 11}\n  - dense: {out: 12}\n  - batchnorm\n"
      "  - dense: {out: classes}\n");
  const Plan plan = make_plan(spec, {{28, 28, 1}, 10, 4});
  const LoweredPlan padded = pad_channels(plan, 8);
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    const std::size_t before = i == 0 ? plan.input.image.size() : out_shape(padded.ops[i - 1]).size();
    EXPECT_EQ(in_shape(padded.ops[i]).size(), before) << i;
    const int channels = out_shape(padded.ops[i]).c;
    EXPECT_EQ(channels, i + 1 == plan.ops.size() ? 10 : (out_shape(plan.ops[i].desc).c + 7) / 8 * 8) << i;
    EXPECT_EQ(padded.parameters[i].size(), plan.ops[i].parameters.size()) << i;
  }
}

TEST(Lower, PutsValuesApartAndBack) {
  const PaddedParameter around{2, 2, 3, 4, 5};
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::vector<float> padded = around.pad(values);
  EXPECT_EQ(padded, (std::vector<float>{1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9, 0, 0, 10, 11, 12, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0, 0}));
  EXPECT_EQ(around.unpad(padded), values);
}

template <typename Desc>
Desc desc_of(const LoweredPlan& lowered, std::size_t op) {
  return std::get<Desc>(lowered.ops.at(op));
}

TEST(Lower, TheHeadMasksForADenseLayerWithAReluAlone) {
  const auto backend = make_backend(BackendKind::cpu);
  const auto lowered = [&](const std::string& layers) {
    return lower(make_plan(spec_with_layers(layers + kPlainLayers), kMnist), *backend);
  };
  const LoweredPlan with_relu = lowered("  - dense: {out: 5}\n  - relu\n  - dense: {out: 6}\n  - relu\n");
  EXPECT_FALSE(desc_of<DenseDesc>(with_relu, 0).y_map.masked) << "the layer after it is no head";
  EXPECT_TRUE(desc_of<DenseDesc>(with_relu, 1).y_map.masked);
  EXPECT_TRUE(desc_of<HeadDesc>(with_relu, 2).x_map.masked);
  const LoweredPlan without = lowered("  - dense: {out: 5}\n");
  EXPECT_FALSE(desc_of<DenseDesc>(without, 0).y_map.masked);
  EXPECT_FALSE(desc_of<HeadDesc>(without, 1).x_map.masked);
}

TEST(Lower, BothSidesOfAMapKnowHowManyRowsAreSelected) {
  const std::string layers = "  - batchnorm\n  - dense: {out: 20}\n  - relu\n" + kPlainLayers;
  const auto backend = make_backend(BackendKind::cpu);
  const auto rows = [&](const std::string& recipe) {
    const Spec spec = parse_spec(spec_text(layers, recipe), "net.yaml");
    const LoweredPlan lowered = lower(make_plan(spec, {{28, 28, 1}, 10, 256}), *backend);
    const auto dense = desc_of<DenseDesc>(lowered, 1);
    return std::vector<int>{desc_of<BatchNormDesc>(lowered, 0).x_map.selected_rows, dense.x_map.selected_rows,
                            dense.y_map.selected_rows, desc_of<HeadDesc>(lowered, 2).x_map.selected_rows};
  };
  EXPECT_EQ(rows(kPlainRecipe + "  keep: {share: 0.35, from: 0.25}\n"), (std::vector<int>{0, 89, 89, 89}));
  EXPECT_EQ(rows(kPlainRecipe), (std::vector<int>{0, 0, 0, 0}));
}

TEST(Lower, TheMapBetweenQuicksConvolutionsIsBf16UnderBf16) {
  if (!cpu_has(Precision::bf16)) GTEST_SKIP() << "no products in bf16 here";
  const LoweredPlan lowered = lower(plan_of_shipped("pytorch-example"), *make_backend(BackendKind::cpu_bf16));
  EXPECT_TRUE(desc_of<ConvDesc>(lowered, 0).y_map.bf16);
  EXPECT_TRUE(desc_of<ConvDesc>(lowered, 1).x_map.bf16);
  EXPECT_TRUE(desc_of<ConvDesc>(lowered, 1).x_map.masked);
  EXPECT_FALSE(desc_of<ConvDesc>(lowered, 1).y_map.bf16);
}

TEST(Lower, TheGpuEngineTakesInNormalisationsWithTheirParametersPadded) {
  if (!gpu_availability().usable) GTEST_SKIP() << gpu_availability().reason;
  const Plan plan = plan_of_shipped("sprint");
  const LoweredPlan lowered = lower(plan, *make_backend(BackendKind::cuda_fp16));
  EXPECT_LT(lowered.ops.size(), plan.ops.size());
  ASSERT_EQ(lowered.plan.ops.size(), lowered.ops.size());
  std::size_t layers = 0;
  for (std::size_t i = 0; i < lowered.ops.size(); ++i) {
    const std::vector<ParameterDesc> padded = parameters(lowered.ops[i]);
    ASSERT_EQ(lowered.parameters[i].size(), padded.size());
    ASSERT_EQ(lowered.plan.ops[i].parameters.size(), padded.size());
    for (std::size_t p = 0; p < padded.size(); ++p)
      EXPECT_EQ(lowered.parameters[i][p].padded_count(), padded[p].count()) << i << ", " << p;
    layers += lowered.plan.ops[i].layers.size();
  }
  EXPECT_EQ(layers, plan.layers.size());
  EXPECT_TRUE(std::holds_alternative<NormalisedDesc>(lowered.ops.front()));
}

}  // namespace
}  // namespace trainer::test
