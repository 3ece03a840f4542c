// The recipe's `input: {augment: ...}`: what is read, said and refused, and which steps of a network it changes.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/network.hpp"
#include "models/recipe.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {
namespace {

const std::string kAllChanges =
    "{shift: 1, crop: 25, rotate: 10, zoom: 0.1, shear: 5, elastic: {grid: 4, amount: 1}, erase: 0.1, share: "
    "0.3}";

Recipe augmented(const std::string& settings) {
  return recipe_with("  input: {augment: " + settings + "}\n" + kPlainRecipe);
}

TEST(Augment, AllSettingsAreReadAndWritten) {
  const Recipe recipe = augmented(kAllChanges);
  const Augmentation& a = recipe.input.augmentation;
  EXPECT_EQ(a.shift, 1);
  EXPECT_EQ(a.crop, 25);
  EXPECT_EQ(a.rotate, 10);
  EXPECT_EQ(a.zoom, 0.1F);
  EXPECT_EQ(a.shear, 5);
  EXPECT_EQ(a.grid, 4);
  EXPECT_EQ(a.elastic, 1);
  EXPECT_EQ(a.erase, 0.1F);
  EXPECT_EQ(a.share, 0.3F);
  EXPECT_EQ(
      recipe_json(recipe)["input"]["augment"].dump(),
      R"({"shift":1,"crop":25,"rotate":10.0,"zoom":0.1,"shear":5.0,"elastic":{"grid":4,"amount":1.0},"erase":0.1,"share":0.3})");
  EXPECT_EQ(recipe_json(augmented("{shift: 2}"))["input"]["augment"].dump(), R"({"shift":2})");
  EXPECT_FALSE(recipe_json(recipe_with(kPlainRecipe))["input"].contains("augment"));
  EXPECT_EQ(
      augmentation_lines(a),
      (Words{"shifts within 1 pixel, crops of 25x25 scaled to the image's size",
             "within: rotation 10 degrees, zoom 10 %, shear 5 degrees, elastic 1 px on 4x4, erasing 10 %",
             "  for 30 % of the images"}));
}

TEST(Augment, WrongSettingsAreRefused) {
  const auto error = [](const std::string& settings) {
    return recipe_error("input: {augment: " + settings + "}");
  };
  EXPECT_EQ(error("{shift: 0}"),
            "net.yaml:8:20: augment: nothing is changed; give one of shift, crop, rotate, zoom, shear, "
            "elastic, erase, share");
  EXPECT_EQ(error("{}"), error("{share: 0.5}"));
  EXPECT_EQ(error("{shift: 1.5}"),
            "net.yaml:8:28: augment: shift must be a whole number from 0 to 65536, not '1.5'");
  EXPECT_NE(error("{turn: 5}").find("unknown key 'turn'"), std::string::npos) << error("{turn: 5}");
  EXPECT_EQ(error("{elastic: {amount: 1}}"), "net.yaml:8:30: elastic needs 'grid'");
  for (const char* wrong :
       {"{rotate: 181}", "{rotate: -1}", "{zoom: 1}", "{shear: 61}", "{erase: 1}", "{share: 0, shift: 1}",
        "{elastic: {grid: 1, amount: 1}}", "{elastic: {grid: 9, amount: 1}}", "{elastic: 3}", "3", "[shift]"})
    EXPECT_NE(error(wrong), "") << wrong;
}

TEST(Augment, ImagesThatAreTooSmallAreRefused) {
  const auto error = [](const std::string& settings) {
    try {
      make_plan(parse_spec(spec_text(kPlainLayers, "  input: {augment: " + settings + "}\n" + kPlainRecipe),
                           "net.yaml"),
                {{28, 20, 1}, 10, 1});
    } catch (const SpecError& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("{crop: 21}"), "test: `augment: {crop: 21}` is larger than the 28x20 images");
  EXPECT_EQ(error("{shift: 20}"), "test: `augment: {shift: 20}` is as much as the 28x20 images");
  EXPECT_EQ(error("{crop: 20, shift: 19}"), "");
}

// A dense layer on six images, trained for some steps and tested, by an engine of so many threads.
struct AugmentedOutcome {
  std::vector<float> weights, logits;
};
AugmentedOutcome trained_with(const std::string& input, const CpuOptions& options, int steps) {
  const Spec spec =
      parse_spec(spec_text(kPlainLayers, "  input: " + input + "\n" + kPlainRecipe), "net.yaml");
  constexpr std::uint32_t kImages = 6;
  std::vector<std::uint8_t> pixels(kImages * 28 * 28);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i / 7);
  const std::vector<std::uint8_t> labels{0, 1, 2, 3, 4, 5};
  const std::unique_ptr<Backend> backend = make_cpu_backend(options);
  const TrainingRule rule{optimizers_of(spec.recipe), spec.recipe.schedule};
  Network network(make_plan(spec, {{28, 28, 1}, 10, 6}), *backend, Purpose::training, rule.optimizers);
  network.initialize(3);
  network.write_training_state({.seed = 3});
  const StepInput step_input{
      pixels.data(), labels.data(), {.images = kImages, .batch = 6}, {}, spec.recipe.input.augmentation};
  for (int step = 0; step < steps; ++step) network.train_step(step_input, rule);
  network.write_evaluation_state({});
  network.evaluate_step(step_input);
  backend->wait();
  return {network.read(network.tensors().front()), network.read_logits()};
}

TEST(Augment, ChangesTheStepsOfATrainingAndNoEvaluation) {
  const CpuOptions options{.threads = 1};
  EXPECT_EQ(trained_with("{augment: {shift: 3}}", options, 0).logits,
            trained_with("{scale: 1/255}", options, 0).logits);
  EXPECT_NE(trained_with("{augment: {shift: 3}}", options, 1).weights,
            trained_with("{scale: 1/255}", options, 1).weights);
  EXPECT_NE(trained_with("{augment: {crop: 24}}", options, 0).logits,
            trained_with("{scale: 1/255}", options, 0).logits)
      << "the square in the middle, scaled up";
}

TEST(Augment, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const Bits bits : {Bits::fast, Bits::portable}) {
    const AugmentedOutcome one =
        trained_with("{augment: " + kAllChanges + "}", {.threads = 1, .bits = bits}, 5);
    const AugmentedOutcome three =
        trained_with("{augment: " + kAllChanges + "}", {.threads = 3, .bits = bits}, 5);
    EXPECT_EQ(one.weights, three.weights);
    EXPECT_EQ(one.logits, three.logits);
  }
}

}  // namespace
}  // namespace trainer::test
