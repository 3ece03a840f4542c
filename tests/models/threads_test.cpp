// The CPU engine's steps: the same bits with every number of threads, and how often the threads wait for one another.
#include <algorithm>
#include <cstring>

#include "models/network.hpp"
#include "tests/models/spec_text.hpp"

namespace trainer::test {
namespace {

constexpr int kImages = 64;
constexpr int kSteps = 6;

struct SomeImages {
  std::vector<std::uint8_t> pixels, labels;
};

SomeImages some_images() {
  SomeImages images{std::vector<std::uint8_t>(kImages * 28 * 28), std::vector<std::uint8_t>(kImages)};
  std::uint32_t state = 1;
  const auto next = [&state] { return (state = state * 1664525U + 1013904223U) >> 24; };
  for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(next() > 180 ? next() : 0);
  for (std::uint8_t& label : images.labels) label = static_cast<std::uint8_t>(next() % 10);
  return images;
}

StepInput input_of(const SomeImages& images, const Recipe& recipe, int batch) {
  return {images.pixels.data(),
          images.labels.data(),
          {.images = kImages,
           .batch = static_cast<std::uint32_t>(batch),
           .order = recipe.order,
           .last_batch = recipe.last_batch},
          {.scale = 1.0F / 128, .shift = -1}};
}

// What a few steps leave: every tensor, and the sums of the state.
std::vector<float> trained(const Spec& spec, const CpuOptions& options, int batch) {
  Recipe recipe = spec.recipe;
  recipe.schedule.steps = kSteps;
  const SomeImages images = some_images();
  const std::unique_ptr<Backend> backend = make_cpu_backend(options);
  const TrainingRule rule{optimizers_of(recipe), recipe.schedule};
  Network network(make_plan(spec, {{28, 28, 1}, 10, batch}), *backend, Purpose::training, rule.optimizers);
  network.initialize(7);
  network.write_training_state({.seed = 7});
  const StepInput input = input_of(images, recipe, batch);
  const auto steps = backend->record({{[&] { network.train_step(input, rule); }, kSteps}});
  steps->launch(1);
  const auto test = backend->record({{[&] { network.evaluate_step(input); }, 1}});
  test->launch(1);
  const Network::States states = network.read_states();
  std::vector<float> all{static_cast<float>(states.training.loss_sum),
                         static_cast<float>(states.evaluation.loss_sum)};
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> values = network.read(tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// 27 rows: shards of 3 and of 4.
void expect_the_same_bits(const Spec& spec) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    if (!cpu_has(precision)) continue;
    for (const Bits bits : {Bits::fast, Bits::portable}) {
      if (bits == Bits::portable && precision != Precision::fp32) continue;
      SCOPED_TRACE(precision_name(precision) + std::string(bits == Bits::fast ? ", fast" : ", portable"));
      const auto with = [&](int threads) {
        return trained(spec, {.threads = threads, .precision = precision, .bits = bits}, 27);
      };
      const std::vector<float> one = with(1);
      for (const int threads : {2, 3, 4, 7}) {
        const std::vector<float> more = with(threads);
        ASSERT_EQ(one.size(), more.size());
        EXPECT_EQ(std::memcmp(one.data(), more.data(), one.size() * sizeof(float)), 0)
            << threads << " threads";
      }
    }
  }
}

class EveryNetwork : public testing::TestWithParam<const char*> {};

TEST_P(EveryNetwork, TrainsToTheSameBitsWithAnyNumberOfThreads) {
  expect_the_same_bits(shipped(GetParam()));
}

Spec with_blocks(const std::string& recipe = "") {
  return parse_spec(spec_text("  - conv: {out: 6, kernel: 3, stride: 2}\n"
                              "  - residual: [batchnorm, relu, conv: {out: 6, kernel: 3, padding: same}]\n"
                              "  - residual: [conv: {out: 6, kernel: 3, padding: same}, relu]\n"
                              "  - maxpool: {size: 2}\n" +
                                  kPlainLayers,
                              kPlainRecipe + recipe),
                    "blocks.yaml");
}

TEST(Blocks, TrainToTheSameBitsWithAnyNumberOfThreads) {
  expect_the_same_bits(with_blocks());
  expect_the_same_bits(with_blocks("  keep: {share: 0.4}\n"));
}

INSTANTIATE_TEST_SUITE_P(Shipped, EveryNetwork, testing::ValuesIn(kShipped), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Phases, each of which ends with a wait: the weights in other layouts; all shards, forward and backward; the sums of the gradients; the
// update. A batch normalisation adds one each way, a selection one; dx of a dense layer of more than 65,536 weights two, if a shard has
// fewer than 16 rows. Muon adds one for each of the three products of its three iterations, and one for the end.
TEST(Waits, OfAStepAreFew) {
  const std::size_t muon = 3 * 3 + 1;
  const auto phases_of = [&](const std::string& model, int batch) -> std::size_t {
    if (model.starts_with("sprint-")) return 4 + 3 * 2 + 1 + muon;
    if (model == "accurate") return 4 + 6 * 2 + muon + (batch == 64 ? 2 : 0);
    if (model == "accurate-small") return 4 + 4 * 2 + muon;
    if (model == "test") return 4 + 2;
    const std::size_t few_rows = batch == 64 && model != "cntk-convnet" ? 2 : 0;
    return 4 + few_rows + (model == "sprint" ? 3 * 2 + muon : 0);
  };
  const SomeImages images = some_images();
  std::vector<Spec> specs{with_blocks()};
  for (const char* model : kShipped) specs.push_back(shipped(model));
  for (const Spec& spec : specs) {
    for (const int batch : {64, 256}) {
      const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
      const TrainingRule rule{optimizers_of(spec.recipe), spec.recipe.schedule};
      Network network(make_plan(spec, {{28, 28, 1}, 10, batch}), *backend, Purpose::training,
                      rule.optimizers);
      const StepInput input = input_of(images, spec.recipe, batch);
      EXPECT_EQ(backend->record({{[&] { network.train_step(input, rule); }, 1}})->nodes(),
                phases_of(spec.name, batch))
          << spec.name << ", batch " << batch;
    }
  }
}

}  // namespace
}  // namespace trainer::test
