// `input: {normalize: image}` and `clip_norm`: what is read, said and refused, and the same bits on any number of threads. Their numbers
// are held against the reference in step_test.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/network.hpp"
#include "models/recipe.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {
namespace {

TEST(NormalizeImage, IsReadWrittenAndSaid) {
  const Recipe recipe =
      recipe_with("  input: {normalize: image, crop: 20, augment: {shift: 1}}\n" + kPlainRecipe);
  EXPECT_TRUE(recipe.input.by_image);
  EXPECT_FALSE(recipe.input.from_data);
  EXPECT_EQ(recipe_json(recipe)["input"].dump(), R"({"normalize":"image","crop":20,"augment":{"shift":1}})");
  EXPECT_EQ(input_text(recipe.input), "(pixel - mean) / deviation, both of each image, the centre 20x20");
  EXPECT_FALSE(recipe_with("  input: {normalize: data}\n" + kPlainRecipe).input.by_image);
}

TEST(NormalizeImage, StandsWithoutOtherNumbers) {
  for (const char* other : {"scale: 1", "mean: 0.5", "deviation: 2"})
    EXPECT_EQ(
        recipe_error(std::string("input: {normalize: image, ") + other + "}"),
        "net.yaml:8:22: input: `normalize: image` stands without scale, mean and deviation, which follow "
        "from it");
  EXPECT_EQ(recipe_error("input: {normalize: imge}"),
            "net.yaml:8:22: input: unknown normalize 'imge'; did you mean image? one of data, image");
}

TEST(ClipNorm, IsReadWrittenAndRefusedUnlessAPositiveNumber) {
  const Recipe recipe = recipe_with("  clip_norm: 1.5\n" + kPlainRecipe);
  EXPECT_EQ(recipe.clip_norm, 1.5);
  EXPECT_EQ(recipe_json(recipe)["clip_norm"].dump(), "1.5");
  EXPECT_FALSE(recipe_json(recipe_with(kPlainRecipe)).contains("clip_norm"));
  for (const char* wrong : {"0", "-1", ".inf", ".nan", "big", "{max: 1}"})
    EXPECT_EQ(recipe_error(std::string("clip_norm: ") + wrong)
                  .find("net.yaml:8:14: recipe: clip_norm must be a number"),
              0U)
        << recipe_error(std::string("clip_norm: ") + wrong);
  const Spec spec = parse_spec(spec_text(kPlainLayers, "  clip_norm: 1.5\n" + kPlainRecipe), "net.yaml");
  EXPECT_NE(recipe_text(make_plan(spec, kMnist), spec).find("clipping    gradients to a norm of 1.5\n"),
            std::string::npos);
}

struct Setting {
  const char* model;
  float clip_norm = 0;
  bool by_image = false;
};

std::vector<float> weights_of(const Setting& setting, const CpuOptions& options,
                              std::size_t* phases = nullptr) {
  const Spec spec = shipped(setting.model);
  constexpr std::uint32_t kBatch = 27, kSteps = 3;
  std::vector<std::uint8_t> pixels(std::size_t{kBatch} * 28 * 28), labels(kBatch);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i / 7 + i);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
  const std::unique_ptr<Backend> backend = make_cpu_backend(options);
  Schedule schedule = spec.recipe.schedule;
  schedule.steps = kSteps;
  const TrainingRule rule{optimizers_of(spec.recipe), schedule, setting.clip_norm};
  Network network(make_plan(spec, {{28, 28, 1}, 10, kBatch}), *backend, Purpose::training, rule.optimizers);
  network.initialize(7);
  network.write_training_state({.seed = 7});
  const PixelScaling scaling = setting.by_image ? PixelScaling{1, 0, true} : PixelScaling{1 / 255.0F, 0};
  const StepInput input{pixels.data(), labels.data(), {.images = kBatch, .batch = kBatch}, scaling};
  const auto steps = backend->record({{[&] { network.train_step(input, rule); }, kSteps}});
  if (phases != nullptr) *phases = steps->nodes();
  steps->launch(1);
  backend->wait();
  std::vector<float> all;
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> values = network.read(tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(ClipNorm, AndNormalizeImageHaveTheSameBitsOnAnyNumberOfThreads) {
  for (const char* model : {"lenet", "sprint-lean"}) {
    for (const CpuOptions& options :
         {CpuOptions{}, CpuOptions{.precision = Precision::bf16}, CpuOptions{.bits = Bits::portable}}) {
      if (!cpu_has(options.precision)) continue;
      SCOPED_TRACE(model);
      const auto with = [&](int threads, float clip_norm) {
        CpuOptions own = options;
        own.threads = threads;
        return weights_of({model, clip_norm, true}, own);
      };
      const std::vector<float> one = with(1, 0.01F);
      EXPECT_TRUE(with(2, 0.01F) == one);
      EXPECT_TRUE(with(3, 0.01F) == one);
      const std::vector<float> none = with(1, 0);
      EXPECT_FALSE(none == one);
      EXPECT_TRUE(none == with(1, 1e9F)) << "the norm is below the limit";
    }
  }
}

TEST(ClipNorm, AddsOneWaitAStep) {
  std::size_t without = 0, with = 0;
  weights_of({"lenet", 0}, {.threads = 1}, &without);
  weights_of({"lenet", 1}, {.threads = 1}, &with);
  EXPECT_EQ(with, without + 1);
}

}  // namespace
}  // namespace trainer::test
