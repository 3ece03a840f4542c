// Plans: fused ops, padding, what parameters learn and start with, and what is refused.
#include "models/plan.hpp"

#include <gtest/gtest.h>
#include <map>

#include "tests/models/spec_text.hpp"

namespace trainer::test {

namespace {

Plan plan_of(const std::string& layers, const PlanInput& input = kMnist) {
  return make_plan(spec_with_layers(layers), input);
}

std::string plan_error(const std::string& layers, const PlanInput& input = kMnist) {
  try {
    plan_of(layers, input);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "";
}

template <typename Desc>
Desc desc_of(const Plan& plan, std::size_t op) {
  return std::get<Desc>(plan.ops.at(op).desc);
}

}  // namespace

TEST(Plan, FusesConvolutionReluAndPoolInAnyOrder) {
  const std::string conv = "  - conv: {out: 4, kernel: 5}\n";
  const std::string relu = "  - relu\n";
  const std::string pool = "  - maxpool: {size: 3, stride: 2}\n";
  for (const std::string& after : {relu + pool, pool + relu, relu + pool + relu}) {
    const Plan plan = plan_of(conv + after + kPlainLayers);
    ASSERT_EQ(plan.ops.size(), 2U) << after;
    const auto desc = desc_of<ConvDesc>(plan, 0);
    EXPECT_TRUE(desc.relu);
    EXPECT_EQ(desc.pool, (Window{3, 2}));
    EXPECT_EQ(out_shape(desc), (Shape{11, 11, 4}));
    EXPECT_EQ(plan.ops[0].layers.size(), plan.layers.size() - 1);
  }
  EXPECT_FALSE(desc_of<ConvDesc>(plan_of(conv + relu + kPlainLayers), 0).pool);
  EXPECT_FALSE(desc_of<ConvDesc>(plan_of(conv + pool + kPlainLayers), 0).relu);
}

TEST(Plan, FusesNoMoreThanOneKernelDoes) {
  const Plan plan = plan_of(
      "  - relu\n  - maxpool: {size: 2}\n  - conv: {out: 4, kernel: 3}\n  - maxpool: {size: 2}\n"
      "  - maxpool: {size: 2}\n  - relu\n  - conv: {out: 4, kernel: 1}\n  - batchnorm\n  - relu\n"
      "  - avgpool: {size: 2}\n  - dropout: {drop: 0.5}\n  - dense: {out: 5}\n  - relu\n  - dense: {out: 6}\n"
      "  - dropout: {drop: 0.25}\n" +
      kPlainLayers);
  std::vector<std::string> names;
  for (const PlannedOp& op : plan.ops)
    names.push_back(op.name + " " + describe(op.desc).substr(0, describe(op.desc).find(' ')));
  EXPECT_EQ(names,
            (std::vector<std::string>{"relu1 relu", "maxpool1 maxpool", "conv1 conv", "maxpool3 maxpool",
                                      "relu2 relu", "conv2 conv", "batchnorm1 batchnorm", "relu3 relu",
                                      "avgpool1 avgpool", "dropout1 dropout", "dense1 dense", "dense2 dense",
                                      "dropout2 dropout", "dense3 head"}));
  EXPECT_EQ(desc_of<DropoutDesc>(plan, 9).stream, 1U);
  EXPECT_EQ(desc_of<DropoutDesc>(plan, 12).stream, 2U);
  EXPECT_EQ(desc_of<DropoutDesc>(plan, 12).drop, 0.25F);
  EXPECT_TRUE(desc_of<DenseDesc>(plan, 10).relu);
  EXPECT_FALSE(desc_of<DenseDesc>(plan, 11).relu);
}

TEST(Plan, NamesParametersAsACheckpointDoes) {
  const Plan plan =
      plan_of("  - conv: {out: 4, kernel: 3, bias: false}\n  - batchnorm\n  - conv: {out: 2, kernel: 3}\n" +
              kPlainLayers);
  std::vector<std::string> names;
  for (const PlannedOp& op : plan.ops) {
    for (const PlannedParameter& parameter : op.parameters) names.push_back(parameter.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"conv1.weight", "batchnorm1.gain", "batchnorm1.offset",
                                             "batchnorm1.running_mean", "batchnorm1.running_variance",
                                             "conv2.weight", "conv2.bias", "dense1.weight", "dense1.bias"}));
  EXPECT_EQ(plan.layers[1].parameters, 8U) << "running statistics are not trained";
}

TEST(Plan, OnlyOpsBehindWeightsNeedAnInputGradient) {
  const Plan plan = plan_of("  - dropout: {drop: 0.1}\n  - conv: {out: 4, kernel: 3}\n  - dense: {out: 8}\n" +
                            kPlainLayers);
  EXPECT_FALSE(plan.ops[0].wants_dx);
  EXPECT_FALSE(plan.ops[1].wants_dx);
  EXPECT_TRUE(plan.ops[2].wants_dx);
  EXPECT_TRUE(plan.ops[3].wants_dx);
  EXPECT_EQ(plan.layers[1].backward_flops, plan.layers[1].forward_flops);
  EXPECT_EQ(plan.layers[2].backward_flops, 2 * plan.layers[2].forward_flops);
  const Plan behind_norm = plan_of("  - batchnorm\n  - conv: {out: 4, kernel: 3}\n" + kPlainLayers);
  EXPECT_TRUE(behind_norm.ops[1].wants_dx) << "the gain of the normalisation learns through it";
}

TEST(Plan, SamePaddingIsTensorflows) {
  const auto border = [](int kernel, int stride, Shape image) {
    return desc_of<ConvDesc>(plan_of("  - conv: {out: 1, padding: same, kernel: " + std::to_string(kernel) +
                                         ", stride: " + std::to_string(stride) + "}\n" + kPlainLayers,
                                     {image, 10, 1}),
                             0);
  };
  EXPECT_EQ(border(5, 1, {28, 28, 1}).pad, (Border{2, 2, 2, 2}));
  EXPECT_EQ(border(4, 1, {28, 28, 1}).pad, (Border{1, 2, 1, 2})) << "the odd zero lies at the bottom right";
  EXPECT_EQ(border(2, 1, {28, 28, 1}).pad, (Border{0, 1, 0, 1}));
  EXPECT_EQ(border(3, 2, {28, 28, 1}).pad, (Border{0, 1, 0, 1}));
  EXPECT_EQ(border(3, 2, {27, 28, 1}).pad, (Border{1, 1, 0, 1}));
  EXPECT_EQ(border(1, 3, {28, 28, 1}).pad, (Border{}));
  for (int kernel = 1; kernel <= 9; ++kernel) {
    for (int stride = 1; stride <= 6; ++stride) {
      for (int length = 1; length <= 12; ++length) {
        const int positions = (length + stride - 1) / stride;
        EXPECT_EQ(conv_map(border(kernel, stride, {length, length, 1})), (Shape{positions, positions, 1}))
            << kernel << " at " << stride << " on " << length;
      }
    }
  }
}

TEST(Plan, PaddingInNumbersIsSymmetric) {
  const Plan plan = plan_of("  - conv: {out: 2, kernel: 3, padding: 1, stride: 2}\n" + kPlainLayers);
  EXPECT_EQ(desc_of<ConvDesc>(plan, 0).pad, (Border{1, 1, 1, 1}));
  EXPECT_EQ(plan.layers[0].out, (Shape{14, 14, 2}));
}

TEST(Plan, ParametersLearnDecayAndStartAsTheRecipeSays) {
  const auto facts = [](const Spec& spec) {
    std::map<std::string, PlannedParameter> named;
    const Plan plan = make_plan(spec, kMnist);
    for (const PlannedOp& op : plan.ops) {
      for (const PlannedParameter& parameter : op.parameters) named[parameter.name] = parameter;
    }
    return named;
  };
  auto lenet = facts(shipped("lenet"));
  EXPECT_EQ(lenet["conv1.weight"].rate_factor, 1);
  EXPECT_EQ(lenet["conv1.bias"].rate_factor, 2);
  EXPECT_EQ(lenet["dense2.bias"].rate_factor, 2);
  for (const auto& [name, parameter] : lenet) EXPECT_EQ(parameter.decay, 5e-4F) << name;
  EXPECT_EQ(lenet["dense1.weight"].initialization.kind, Initializer::xavier_uniform);
  EXPECT_EQ(lenet["dense1.weight"].desc.fan_in, 800);

  auto tf = facts(shipped("tf-convolutional"));
  EXPECT_EQ(tf["conv1.weight"].decay, 0);
  EXPECT_EQ(tf["conv2.bias"].decay, 0);
  EXPECT_EQ(tf["dense1.weight"].decay, 5e-4F);
  EXPECT_EQ(tf["dense2.bias"].decay, 5e-4F);
  EXPECT_EQ(tf["conv1.bias"].initialization.kind, Initializer::zeros);
  EXPECT_EQ(tf["conv2.bias"].initialization.value, 0.1);
  EXPECT_EQ(tf["dense2.bias"].initialization.value, 0.1);

  auto norm = facts(parse_spec(spec_text("  - conv: {out: 4, kernel: 3}\n  - batchnorm\n" + kPlainLayers,
                                         kPlainRecipe + "  bias_rate_factor: 3\n"
                                                        "  weight_decay: {amount: 0.1, biases: false}\n"),
                               "net.yaml"));
  EXPECT_EQ(norm["conv1.weight"].decay, 0.1F);
  EXPECT_EQ(norm["conv1.bias"].decay, 0);
  EXPECT_EQ(norm["conv1.bias"].rate_factor, 3);
  EXPECT_EQ(norm["batchnorm1.gain"].decay, 0);
  EXPECT_EQ(norm["batchnorm1.offset"].rate_factor, 1);
  EXPECT_EQ(norm["batchnorm1.gain"].initialization.value, 1);
  EXPECT_EQ(norm["batchnorm1.running_variance"].initialization.value, 1);
  EXPECT_EQ(norm["batchnorm1.running_mean"].initialization.kind, Initializer::zeros);
}

TEST(Plan, ActivationsAreWhatIsStored) {
  const Plan plan =
      plan_of("  - conv: {out: 4, kernel: 5}\n  - relu\n  - maxpool: {size: 2}\n" + kPlainLayers);
  EXPECT_EQ(plan.layers[0].activation_bytes, 0U);
  EXPECT_EQ(plan.layers[1].activation_bytes, 0U);
  EXPECT_EQ(plan.layers[2].activation_bytes, 4U * 64 * 12 * 12 * 4);
  EXPECT_EQ(plan.activation_bytes, 4U * 64 * (784 + 12 * 12 * 4 + 10));
}

TEST(Plan, LayersThatDoNotFitAreRefusedByPlaceAndName) {
  EXPECT_EQ(plan_error("  - conv: {out: 4, kernel: 25}\n  - maxpool: {size: 5}\n" + kPlainLayers),
            "net.yaml:4:5: maxpool1: a window of 5x5 is larger than its 4x4 input");
  EXPECT_EQ(plan_error("  - conv: {out: 4, kernel: 29}\n" + kPlainLayers),
            "net.yaml:3:5: conv1: a filter of 29x29 is larger than its 28x28 input");
  EXPECT_EQ(plan_error("  - conv: {out: 4, kernel: 8, padding: 1}\n" + kPlainLayers, {{5, 9, 1}, 10, 1}),
            "net.yaml:3:5: conv1: a filter of 8x8 is larger than its 7x11 padded input");
  EXPECT_EQ(plan_error("  - relu\n  - avgpool: {size: 3}\n" + kPlainLayers, {{28, 2, 1}, 10, 1}),
            "net.yaml:4:5: avgpool1: a window of 3x3 is larger than its 28x2 input");
}

TEST(Plan, AGlobalPoolHasTheWholeMapAsItsWindow) {
  const Plan plan = plan_of("  - conv: {out: 4, kernel: 3}\n  - avgpool: global\n" + kPlainLayers);
  EXPECT_EQ(desc_of<AvgPoolDesc>(plan, 1).window, (Window{26, 26}));
  EXPECT_EQ(plan.layers[1].out, (Shape{1, 1, 4}));
  EXPECT_EQ(plan.layers[1].text, "avgpool global");
  EXPECT_EQ(plan_error("  - avgpool: global\n" + kPlainLayers, {{28, 2, 1}, 10, 1}),
            "net.yaml:3:5: avgpool1: a window of 28x28 is larger than its 28x2 input");
  EXPECT_NE(plan_error("  - maxpool: global\n" + kPlainLayers), "");
  EXPECT_NE(plan_error("  - avgpool: all\n" + kPlainLayers), "");
}

TEST(Plan, TheLastLayerIsDenseWithAnOutputAClass) {
  EXPECT_EQ(plan_error("  - dense: {out: 10}\n  - relu\n"),
            "net.yaml:4:5: relu1: the last layer must be dense with `out: classes`");
  EXPECT_EQ(plan_error("  - dense: {out: 10}\n", {{28, 28, 1}, 47, 64}),
            "net.yaml:3:5: dense1: 10 outputs, but the data set has 47 classes; write `out: classes`");
  EXPECT_EQ(plan_error("  - dense: {out: 10}\n"), "");
  EXPECT_FALSE(desc_of<HeadDesc>(plan_of("  - dense: {out: classes, bias: false}\n"), 0).bias);
}

TEST(Plan, CountsThatOverflowAreRefusedByPlaceAndName) {
  const PlanInput large{{1024, 1024, 3}, 10, 64};
  EXPECT_EQ(plan_error("  - dense: {out: 65536}\n" + kPlainLayers, large)
                .find("net.yaml:3:5: dense1: 206158430208 weights"),
            0U);
  EXPECT_EQ(
      plan_error("  - conv: {out: 65536, kernel: 1}\n" + kPlainLayers, large)
          .find("net.yaml:3:5: conv1: 4398046511104 outputs of a batch; at most 2147483647 are possible"),
      0U);
  EXPECT_EQ(plan_error("  - conv: {out: 65536, kernel: 1000}\n" + kPlainLayers, large)
                .find("net.yaml:3:5: conv1: 65536000000 weights to one output"),
            0U);
  EXPECT_EQ(plan_error("  - conv: {out: 1000, kernel: 1024}\n" + kPlainLayers, large)
                .find("net.yaml:3:5: conv1: 3145728000 weights"),
            0U);
  EXPECT_EQ(plan_error("  - conv: {out: 32, kernel: 3500, padding: same}\n" + kPlainLayers,
                       {{1024, 1024, 3}, 10, 1})
                .find("net.yaml:3:5: conv1: 2466250752000000 FLOP an image"),
            0U);
  std::string wide;
  for (int i = 0; i < 2; ++i) wide += "  - dense: {out: 46000}\n";
  EXPECT_EQ(plan_error("  - dense: {out: 46000}\n  - relu\n" + wide + kPlainLayers, {{1, 1, 1}, 10, 1}),
            "net.yaml:6:5: dense3: the network's parameters are more than 2147483647 here");
}

TEST(Plan, AnInputWithoutSenseIsRefused) {
  for (const PlanInput& input :
       {PlanInput{{0, 28, 1}, 10, 64}, PlanInput{{28, -1, 1}, 10, 64}, PlanInput{{28, 28, 1}, 0, 64},
        PlanInput{{28, 28, 1}, 10, 0}, PlanInput{{28, 28, 70000}, 10, 1}}) {
    EXPECT_NE(plan_error(kPlainLayers, input).find("test: images of "), std::string::npos);
  }
  EXPECT_NE(plan_error(kPlainLayers, {{4096, 4096, 4}, 10, 64}).find("make it smaller"), std::string::npos);
}

TEST(Plan, APromisedParameterCountIsKept) {
  const Spec wrong = parse_spec("parameters: 7851\n" + spec_text(kPlainLayers), "net.yaml");
  try {
    make_plan(wrong, kMnist);
    FAIL();
  } catch (const SpecError& error) {
    EXPECT_STREQ(
        error.what(),
        "net.yaml: test: the layers have 7850 parameters on 28x28x1 images of 10 classes, but `parameters` "
        "says 7851; correct it or leave it out");
  }
  EXPECT_EQ(make_plan(wrong, {{32, 32, 1}, 10, 64}).parameters, 10250U)
      << "it was published for other images";
}

TEST(Plan, ItsTextNamesWhatARecipeHas) {
  const auto text = [](const std::string& recipe) {
    const Spec spec = parse_spec(spec_text(kPlainLayers, recipe), "net.yaml");
    return recipe_text(make_plan(spec, kMnist), spec);
  };
  EXPECT_EQ(
      text("  optimizer: {sgd: {momentum: 0.9, nesterov: true}}\n  rate: 0.1\n  batch: 64\n  epochs: 1\n"
           "  schedule: {cosine: {end: 0.01}}\n  input: {normalize: data}\n  last_batch: drop\n"),
      "  input       (pixel / 255 - mean) / deviation, both of the training images\n"
      "  start       weights uniform_fan_in, biases uniform_fan_in\n"
      "  optimizer   sgd, momentum 0.9, nesterov\n"
      "  rate        cosine: 0.1 down to 0.001\n"
      "  batch       64, order shuffled, a short last batch is dropped\n"
      "  length      1 epoch\n");
  EXPECT_EQ(text("  optimizer: adamw\n  rate: 0.1\n  batch: 8\n  steps: 12345\n  weight_decay: 0.25\n"
                 "  input: {scale: 0.3, mean: -1, deviation: 2}\n  order: fixed\n"),
            "  input       (pixel * 0.3 + 1) / 2\n"
            "  start       weights uniform_fan_in, biases uniform_fan_in\n"
            "  optimizer   adamw, beta1 0.9, beta2 0.999, epsilon 1e-08\n"
            "  rate        0.1\n"
            "  decay       0.25, of the weights and biases of conv and dense layers\n"
            "  batch       64 (the recipe's own: 8), order fixed, a short last batch is masked\n"
            "  length      12,345 steps\n");
}

}  // namespace trainer::test
