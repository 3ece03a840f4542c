// Residual blocks from YAML to what runs: their layers and ops, what is fused and padded, and what wrong blocks are told.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/lower.hpp"
#include "tests/models/spec_text.hpp"
#include "tests/support/backends.hpp"

namespace trainer::test {
namespace {

using Texts = std::vector<std::string>;

const std::string kBlock =
    "  - conv: {out: 5, kernel: 3}\n"
    "  - residual:\n"
    "      - relu\n"
    "      - conv: {out: 9, kernel: 3, padding: same, bias: false}\n"
    "      - batchnorm: {gain: false}\n"
    "      - dropout: {drop: 0.5}\n"
    "      - conv: {out: 5, kernel: 1}\n"
    "  - relu\n"
    "  - conv: {out: 4, kernel: 3}\n";

Plan plan_of(const std::string& layers) {
  return make_plan(spec_with_layers(layers + kPlainLayers), kMnist);
}

// The error of a plan of these layers, which begin in line 3.
std::string plan_error(const std::string& layers) {
  try {
    plan_of(layers);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "";
}

TEST(Residual, ABlockIsALayerBehindItsOwn) {
  const Plan plan = plan_of(kBlock);
  Texts names, ops;
  for (const PlannedLayer& layer : plan.layers) names.push_back(layer.name);
  for (const PlannedOp& op : plan.ops) ops.push_back(op.name + ": " + describe(op.desc));
  EXPECT_EQ(names, (Texts{"conv1", "relu1", "conv2", "batchnorm1", "dropout1", "conv3", "residual1", "relu2",
                          "conv4", "dense1"}));
  // Neither ReLU is taken in by the convolution before it: a border of the block is between them.
  EXPECT_EQ(ops, (Texts{"conv1: conv 3x3x5 on 28x28x1", "residual1: residual on 26x26x5",
                        "relu1: relu on 26x26x5", "conv2: conv 3x3x9 on 26x26x5",
                        "batchnorm1: batchnorm on 26x26x9, no gain", "dropout1: dropout 0.5 on 26x26x9",
                        "conv3: conv 1x1x5 on 26x26x9", "residual1: residual on 26x26x5",
                        "relu2: relu on 26x26x5", "conv4: conv 3x3x4 on 26x26x5", "dense1: head 2304x10"}));
  const PlannedLayer& block = plan.layers[6];
  EXPECT_EQ(block.text, "residual over 5 layers");
  EXPECT_EQ(block.out, (Shape{26, 26, 5}));
  EXPECT_EQ(block.parameters + block.forward_flops + block.backward_flops, 0U);
  EXPECT_EQ(block.activation_bytes, 4U * 64 * 26 * 26 * 5);
}

TEST(Residual, TableAndJsonShowIt) {
  const Spec spec = spec_with_layers(kBlock + kPlainLayers);
  const Plan plan = make_plan(spec, kMnist);
  EXPECT_NE(plan_table(plan, spec).find("  residual1   residual over 5 layers                    26x26x5"),
            std::string::npos)
      << plan_table(plan, spec);
  const nlohmann::ordered_json json = plan_json(plan, spec);
  EXPECT_EQ(json["layers"][6]["layer"], "residual over 5 layers");
  EXPECT_EQ(json["ops"][1]["layers"], nlohmann::ordered_json::array()) << "the block's beginning";
  EXPECT_EQ(json["ops"][7]["layers"], nlohmann::ordered_json({"residual1"}));
  EXPECT_EQ(file_json(spec)["layers"][1]["residual"].size(), 5U);
}

TEST(Residual, ItsTextParsesBackInBothForms) {
  const Spec spec = spec_with_layers(kBlock + kPlainLayers);
  const Spec flow = spec_with_layers(
      "  - conv: {out: 5, kernel: 3}\n"
      "  - residual: [relu, conv: {out: 9, kernel: 3, padding: same, bias: false}, batchnorm: {gain: false}, "
      "dropout: {drop: 0.5}, conv: {out: 5, kernel: 1}]\n  - relu\n  - conv: {out: 4, kernel: 3}\n" +
      kPlainLayers);
  const auto table = [](const Spec& one) { return plan_table(make_plan(one, kMnist), one); };
  EXPECT_EQ(table(parse_spec(spec.text, "checkpoint")), table(spec));
  EXPECT_EQ(table(flow), table(spec));
}

TEST(Residual, BothAddendsArePaddedAlike) {
  const Plan plan = plan_of(kBlock);
  const LoweredPlan padded = pad_channels(plan, 8);
  EXPECT_EQ(in_shape(padded.ops[1]), (Shape{26, 26, 8}));
  EXPECT_EQ(in_shape(padded.ops[7]), (Shape{26, 26, 8}));
  for (std::size_t i = 1; i < plan.ops.size(); ++i)
    EXPECT_EQ(in_shape(padded.ops[i]).size(), out_shape(padded.ops[i - 1]).size()) << i;
}

TEST(Residual, OnlyWithinABlockNeighboursAgreeOnMore) {
  const Spec spec = parse_spec(
      spec_text("  - dense: {out: 6}\n  - residual: [dense: {out: 6}, relu]\n" + kPlainLayers), "net.yaml");
  const LoweredPlan lowered = lower(make_plan(spec, kMnist), *make_backend(BackendKind::cpu));
  ASSERT_EQ(lowered.ops.size(), 5U);
  EXPECT_FALSE(std::get<DenseDesc>(lowered.ops[2]).y_map.masked) << "the head is behind the block";
  EXPECT_FALSE(std::get<HeadDesc>(lowered.ops[4]).x_map.masked);
}

TEST(Residual, WrongBlocksAreTold) {
  const std::string stem = "  - conv: {out: 5, kernel: 3}\n";
  EXPECT_EQ(plan_error(stem + "  - residual: [conv: {out: 5, kernel: 3}, relu]\n"),
            "net.yaml:4:5: residual1: its layers make 24x24x5 of 26x26x5, to which that cannot be added; use "
            "`padding: same`, no stride, pool or dense layer, and for the last convolution `out: 5`");
  EXPECT_NE(
      plan_error("  - dense: {out: 20}\n  - residual: [dense: {out: 30}, relu]\n")
          .find("make 1x1x30 of 1x1x20, to which that cannot be added; give its last convolution or dense "
                "layer `out: 20`"),
      std::string::npos);
  EXPECT_NE(plan_error(stem + "  - residual: [maxpool: {size: 2}]\n").find("make 13x13x5 of 26x26x5"),
            std::string::npos);
  EXPECT_NE(plan_error(stem + "  - residual: [conv: {out: 8, kernel: 1}]\n").find("make 26x26x8 of 26x26x5"),
            std::string::npos);
  EXPECT_EQ(
      plan_error("  - batchnorm\n  - residual: [relu]\n"),
      "net.yaml:4:16: residual: the block begins with the network's input; put a conv or dense before it");
  EXPECT_EQ(error_of(spec_text(stem + "  - residual: [relu, residual: [gelu]]\n" + kPlainLayers)),
            "net.yaml:4:22: residual: a block in a block; write it before or after");
  for (const char* empty : {"residual", "residual: []", "residual: {relu: }", "residual: relu"}) {
    EXPECT_EQ(
        error_of(spec_text("  - " + std::string(empty) + "\n" + kPlainLayers)),
        "net.yaml:3:5: residual must have a list of the layers inside, as in `residual: [batchnorm, relu]`")
        << empty;
  }
  EXPECT_NE(error_of(spec_text(stem + "  - residual: [rely]\n" + kPlainLayers)).find("did you mean relu?"),
            std::string::npos);
  const Spec last = spec_with_layers(stem + "  - residual: [relu, dense: {out: classes}]\n");
  EXPECT_THROW(make_plan(last, kMnist), SpecError);
  std::string many;
  for (int i = 0; i < 128; ++i) many += "  - residual: [relu]\n";
  EXPECT_NE(error_of(spec_text(many + "  - relu\n")).find("257 layers; a network has at most 256"),
            std::string::npos);
}

}  // namespace
}  // namespace trainer::test
