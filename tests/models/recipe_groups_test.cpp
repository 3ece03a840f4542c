// What `sprint` brought to recipes: groups with an optimiser of their own, a cropped input, smoothed labels,
// scaled logits, a rate that goes straight; and a selection of the batch's images.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/plan.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {

TEST(RecipeGroups, SprintsGroupsLearnByAnOptimiserOfTheirOwn) {
  const Recipe r = shipped("sprint").recipe;
  EXPECT_EQ(r.optimizer.kind, OptimizerKind::adam);
  ASSERT_EQ(r.groups.size(), 1U);
  const OptimizerGroup& group = r.groups.front();
  EXPECT_EQ(group.layers, (std::vector<std::string>{"conv1", "conv2", "dense1"}));
  EXPECT_EQ(group.optimizer.kind, OptimizerKind::muon);
  EXPECT_EQ(group.optimizer.iterations, 3);
  EXPECT_EQ(piece_at(group.optimizer.momentum, 0), 0.6F);
  EXPECT_NEAR(group.rate_factor * 0.07, 0.4, 1e-12);
  EXPECT_EQ(optimizers_of(r).size(), 2U);
  EXPECT_EQ(r.input.crop, 26);
  EXPECT_EQ(r.label_smoothing, 0.12);
  EXPECT_EQ(r.logit_scale, 0.3);
  EXPECT_EQ(r.schedule.kind, ScheduleKind::linear);
  EXPECT_EQ(r.steps, 19);
  const Plan plan = make_plan(shipped("sprint"), {{28, 28, 1}, 10, 1152});
  EXPECT_EQ(plan.shown, (Shape{26, 26, 1}));
  for (const PlannedOp& op : plan.ops) {
    for (const PlannedParameter& parameter : op.parameters) {
      const bool grouped = parameter.desc.role == ParameterRole::weight && op.name != "dense2";
      EXPECT_EQ(parameter.optimizer, grouped ? 1U : 0U) << parameter.name;
      EXPECT_EQ(parameter.rate_factor, grouped ? static_cast<float>(0.4 / 0.07) : 1.0F) << parameter.name;
    }
  }
}

TEST(RecipeGroups, WrongGroupsAreRefused) {
  const auto group = [](const std::string& text) { return recipe_error("groups: [" + text + "]"); };
  EXPECT_EQ(group("{weights: [], optimizer: sgd}"),
            "net.yaml:8:22: groups: weights must be a list of layers, like [conv1, dense1]");
  EXPECT_EQ(group("{weights: [dense1]}"), "net.yaml:8:12: groups needs 'optimizer'");
  EXPECT_EQ(group("{weights: [dense1], optimizer: sgd}, {weights: [dense1], optimizer: sgd}"),
            "net.yaml:8:60: groups: 'dense1' is in two groups");
  EXPECT_EQ(group("{weights: [dense1], optimizer: {muon: {passes: 0}}}"),
            "net.yaml:8:59: muon: passes must be a whole number from 1 to 100, not '0'");
  EXPECT_EQ(recipe_error("groups: 3"), "net.yaml:8:11: groups must be a list with a group a line");
  EXPECT_EQ(error_of(spec_text(kPlainLayers, "  optimizer: muon\n  rate: 0.1\n  batch: 8\n  epochs: 1\n")),
            "net.yaml:5:14: optimizer: muon takes weights alone, and a network has more parameters; name the "
            "layers under `groups`, and here the optimiser of the rest");
  EXPECT_NE(recipe_error("label_smoothing: 1"), "");
  EXPECT_NE(recipe_error("logit_scale: 0"), "");
  EXPECT_NE(recipe_error("schedule: {linear: {start: 2}}"), "");
}

std::string recipe_error_of_keep(const std::string& keep) {
  return recipe_error("keep: " + keep);
}

TEST(RecipeKeep, TheShareAndTheStepsThatKeepAllAreRead) {
  EXPECT_EQ(recipe_with(kPlainRecipe).keep, Selection());
  EXPECT_EQ(recipe_with(kPlainRecipe + "  keep: {share: 0.35, from: 0.25}\n").keep, (Selection{0.35, 0.25}));
  EXPECT_EQ(recipe_with(kPlainRecipe + "  keep: {share: 1/3}\n").keep, (Selection{1.0 / 3, 0}));
}

TEST(RecipeKeep, WhatIsNoShareIsRefused) {
  EXPECT_EQ(recipe_error_of_keep("{from: 0.5}"), "net.yaml:8:9: keep needs 'share'");
  EXPECT_EQ(recipe_error_of_keep("{share: 1}"),
            "net.yaml:8:17: keep: share must be a number above 0 and below 1, not '1'");
  EXPECT_EQ(recipe_error_of_keep("{share: 0}"),
            "net.yaml:8:17: keep: share must be a number above 0 and below 1, not '0'");
  EXPECT_EQ(recipe_error_of_keep("{share: 0.5, from: 1}"),
            "net.yaml:8:28: keep: from must be a number at least 0 and below 1, not '1'");
  EXPECT_NE(recipe_error_of_keep("{share: 0.5, until: 1}").find("net.yaml:8:22: keep: unknown"),
            std::string::npos);
  EXPECT_NE(recipe_error_of_keep("0.35"), "");
}

TEST(RecipeKeep, ThePlanTellsTheHead) {
  const std::string layers = "  - dense: {out: 20}\n  - relu\n" + kPlainLayers;
  const Spec spec =
      parse_spec(spec_text(layers, kPlainRecipe + "  keep: {share: 0.35, from: 0.25}\n"), "net.yaml");
  const Plan plan = make_plan(spec, {{28, 28, 1}, 10, 256});
  EXPECT_EQ(std::get<HeadDesc>(plan.ops.back().desc).selection, (Selection{0.35, 0.25}));
  EXPECT_NE(
      recipe_text(plan, spec)
          .find("  keep        the hardest 35 % of a batch are backpropagated, from 25 % of the steps on\n"),
      std::string::npos)
      << recipe_text(plan, spec);
  EXPECT_EQ(recipe_json(spec.recipe)["keep"].dump(), R"({"share":0.35,"from":0.25})");
  const Plan whole = make_plan(parse_spec(spec_text(layers), "net.yaml"), {{28, 28, 1}, 10, 256});
  EXPECT_FALSE(std::get<HeadDesc>(whole.ops.back().desc).selection.selects());
}

TEST(RecipeGroups, AGroupOfNoLayerAndACropBeyondTheImageAreRefusedWithTheData) {
  const auto plan_error = [](const std::string& line) {
    const std::string text = spec_text(kPlainLayers, kPlainRecipe + "  " + line + "\n");
    try {
      make_plan(parse_spec(text, "net.yaml"), {{28, 28, 1}, 10, 1});
    } catch (const SpecError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(plan_error("groups: [{weights: [conv9], optimizer: sgd}]")
                .find("net.yaml:9:12: groups: unknown layer with a weight"),
            0U)
      << plan_error("groups: [{weights: [conv9], optimizer: sgd}]");
  EXPECT_NE(plan_error("input: {crop: 29}").find("`crop: 29` is larger than the 28x28 images"),
            std::string::npos);
  EXPECT_EQ(plan_error("input: {crop: 28}"), "no error");
}

}  // namespace trainer::test
