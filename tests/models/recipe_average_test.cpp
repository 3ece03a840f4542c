// `weights: ema`: what the word means, what it costs a step, and that the number of threads does not matter.
#include <cstring>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/network.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kLayers =
    "  - conv: {out: 3, kernel: 3}\n  - batchnorm\n  - relu\n  - dense: {out: 70}\n  - relu\n" + kPlainLayers;

TEST(RecipeAverage, IsAWordAloneOrWithItsDecay) {
  EXPECT_EQ(recipe_with(kPlainRecipe).average, std::nullopt);
  EXPECT_EQ(recipe_with(kPlainRecipe + "  weights: ema\n").average, 0.999);
  EXPECT_EQ(recipe_with(kPlainRecipe + "  weights: {ema: 0.99}\n").average, 0.99);
  EXPECT_EQ(recipe_with(kPlainRecipe + "  weights: {ema: 0}\n").average, 0.0);
}

TEST(RecipeAverage, WhatIsNoDecayIsRefused) {
  const auto refused = [](const std::string& value, const std::string& message) {
    EXPECT_EQ(recipe_error("weights: {ema: " + value + "}"),
              "net.yaml:8:18: recipe: weights: ema must be " + message);
  };
  for (const std::string value : {"1", "-0.1", "1.5", "much"})
    refused(value, "a number at least 0 and below 1, not '" + value + "'");
  EXPECT_EQ(
      recipe_error("weights: {ema: 0.99999999999}"),
      "net.yaml:8:18: recipe: weights: ema rounds to 1, with which nothing moves; give at most 0.9999999");
  EXPECT_NE(recipe_error("weights: {ema: {decay: 0.9}}"), "");
  EXPECT_NE(recipe_error("weights: {ema: 0.9, from: 3}"), "");
  EXPECT_NE(recipe_error("weights: [ema]"), "");
  EXPECT_EQ(recipe_error("weights: emma"),
            "net.yaml:8:12: recipe: unknown weights 'emma'; did you mean ema? one of ema");
}

TEST(RecipeAverage, IsInTheJsonAndTheTextOfThePlanIfTheFileHasIt) {
  const Spec plain = parse_spec(spec_text(kPlainLayers), "net.yaml");
  const Spec spec =
      parse_spec(spec_text(kPlainLayers, kPlainRecipe + "  weights: {ema: 0.99}\n"), "net.yaml");
  EXPECT_FALSE(recipe_json(plain.recipe).contains("weights"));
  EXPECT_EQ(recipe_json(spec.recipe).at("weights"), (Json{{"ema", 0.99}}));
  const Plan plan = make_plan(spec, kMnist);
  EXPECT_EQ(plan.average, 0.99);
  EXPECT_NE(recipe_text(plan, spec).find("  tests       with the weights' moving average, decay 0.99\n"),
            std::string::npos)
      << recipe_text(plan, spec);
  EXPECT_EQ(recipe_text(plan, plain).find("average"), std::string::npos);
}

// Three steps and an evaluation, launched in one recording or one after the other without one.
struct AveragedSteps {
  explicit AveragedSteps(const std::string& recipe, const CpuOptions& options, bool recorded = true)
      : spec(parse_spec(spec_text(kLayers, kPlainRecipe + recipe), "net.yaml")),
        backend(make_cpu_backend(options)),
        rule{optimizers_of(spec.recipe), spec.recipe.schedule},
        network(make_plan(spec, {{8, 8, 1}, 10, 27}), *backend, Purpose::training, rule.optimizers) {
    std::vector<std::uint8_t> images(60 * 64), labels(60);
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * i * 7);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
    network.initialize(7);
    network.write_training_state({.seed = 7});
    const StepInput input{images.data(), labels.data(), {.images = 60, .batch = 27}, {}};
    const auto train = [&] { network.train_step(input, rule); };
    const auto test = [&] { network.evaluate_step(input); };
    if (recorded) {
      const auto recording = backend->record({{train, 3}, {test, 1}});
      phases = recording->nodes();
      recording->launch(1);
    } else {
      for (int i = 0; i < 3; ++i) train();
      test();
    }
    const Network::States states = network.read_states();
    all = {static_cast<float>(states.training.loss_sum), static_cast<float>(states.evaluation.loss_sum)};
    for (const NetworkTensor& tensor : network.tensors()) {
      const std::vector<float> values = network.read(tensor);
      all.insert(all.end(), values.begin(), values.end());
    }
  }

  Spec spec;
  std::unique_ptr<Backend> backend;
  TrainingRule rule;
  Network network;
  std::size_t phases = 0;
  std::vector<float> all;
};

TEST(RecipeAverage, HasTheSameBitsWithAnyNumberOfThreadsRecordedOrNot) {
  for (const Bits bits : {Bits::fast, Bits::portable}) {
    const std::vector<float> one = AveragedSteps("  weights: ema\n", {.threads = 1, .bits = bits}).all;
    for (const int threads : {2, 3, 5}) {
      for (const bool recorded : {true, false}) {
        const AveragedSteps more("  weights: ema\n", {.threads = threads, .bits = bits}, recorded);
        ASSERT_EQ(one.size(), more.all.size());
        EXPECT_EQ(std::memcmp(one.data(), more.all.data(), one.size() * sizeof(float)), 0)
            << threads << " threads";
      }
    }
  }
}

TEST(RecipeAverage, CostsAStepAWaitForParametersAndOneForStatistics) {
  EXPECT_EQ(AveragedSteps("  weights: ema\n", {.threads = 2}).phases,
            AveragedSteps("", {.threads = 2}).phases + 2);
}

TEST(RecipeAverage, ChangesTestsAndNotTheTraining) {
  const AveragedSteps plain("", {.threads = 1}), averaged("  weights: ema\n", {.threads = 1});
  EXPECT_EQ(averaged.all[0], plain.all[0]);
  EXPECT_NE(averaged.all[1], plain.all[1]);
  for (std::size_t i = 2; i < plain.all.size(); ++i) ASSERT_EQ(averaged.all[i], plain.all[i]) << i;
  EXPECT_FALSE(plain.network.averages());
  const NetworkTensor& last = averaged.network.tensors().back();
  EXPECT_EQ(last.name, "dense2.bias.ema");
  EXPECT_EQ(last.arena, kAverages);
  EXPECT_EQ(averaged.network.tensors().size(), 2 * plain.network.tensors().size());
}

}  // namespace
}  // namespace trainer::test
