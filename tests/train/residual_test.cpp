// Networks with residual blocks on every engine, held step by step against themselves in double.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/train/double_network.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

// Blocks with all that may be fused within them or at their ends, two of them in a row, and one of vectors. Six channels are padded
// where an engine wants multiples of eight.
constexpr const char* kBlocks =
    "  - conv: {out: 6, kernel: 3}\n  - relu\n  - maxpool: {size: 2}\n"
    "  - residual:\n"
    "      - conv: {out: 6, kernel: 3, padding: same, bias: false}\n"
    "      - batchnorm: {gain: false}\n"
    "      - gelu\n"
    "      - conv: {out: 6, kernel: 3, padding: same}\n"
    "  - relu\n"
    "  - residual: [batchnorm, relu, conv: {out: 6, kernel: 1}]\n"
    "  - residual: [conv: {out: 6, kernel: 3, padding: same}, leaky_relu]\n"
    "  - dense: {out: 16}\n"
    "  - residual: [relu, dense: {out: 16}, dropout: {drop: 0.25}]\n";

SmallTraining training(const std::string& more_recipe = "") {
  return {.network = {.optimizer = "sgd", .rate = "0.05", .layers = kBlocks, .more_recipe = more_recipe}};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

// With plain gradient descent the step of a parameter is its gradient.
void expect_steps(const std::string& more_recipe, BackendKind kind) {
  TrainingTrial trial(training(more_recipe), kind);
  DoubleNetwork network(trial.setup(), trial.network());
  const auto images = reference::first_steps(trial.setup().train, trial.setup().settings.seed, 4);
  const std::vector<NetworkTensor>& tensors = trial.network().tensors();
  for (std::uint64_t step = 0; step < images.size(); ++step) {
    SCOPED_TRACE(backend_name(kind) + more_recipe + ", step " + std::to_string(step));
    std::vector<std::vector<float>> before, here;
    for (const NetworkTensor& tensor : tensors) before.push_back(trial.network().read(tensor));
    trial.step(1);
    const StepState state = trial.network().read_training_state();
    for (const NetworkTensor& tensor : tensors) here.push_back(trial.network().read(tensor));
    const double want = network.step(images[step], step);
    EXPECT_NEAR(static_cast<double>(state.batch_loss) / state.valid, want, 1e-4 * want);
    network.hand_over(trial.network());
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      const std::vector<float> there = trial.network().read(tensors[t]);
      const double moved = largest_difference(before[t], there);
      EXPECT_GT(moved, 1e-6) << tensors[t].name << " does not move";
      EXPECT_LT(largest_difference(here[t], there), 2e-3 * moved + 1e-6) << tensors[t].name;
    }
  }
}

TEST(Residual, EveryStepIsThatOfTheNetworkInDouble) {
  for (const BackendKind kind : tested_backends()) expect_steps("", kind);
}

TEST(Residual, EveryStepThatSelectsIsThatOfTheNetworkInDouble) {
  for (const BackendKind kind : tested_backends()) expect_steps("  keep: {share: 0.4}\n", kind);
}

TEST(Residual, RoundedPrecisionsStayNear) {
  for (const BackendKind kind : rounding_backends()) {
    TrainingTrial trial(training(), kind);
    DoubleNetwork network(trial.setup(), trial.network());
    const auto images = reference::first_steps(trial.setup().train, trial.setup().settings.seed, 4);
    for (std::uint64_t step = 0; step < images.size(); ++step) {
      trial.step(1);
      const StepState state = trial.network().read_training_state();
      const double want = network.step(images[step], step);
      EXPECT_NEAR(state.batch_loss / static_cast<float>(state.valid), want, 0.04 * want)
          << backend_name(kind) << ", step " << step;
    }
  }
}

TEST(Residual, PortableBitsAreThoseOfEveryProcessor) {
  if (!kTestsPortable || !gpu_availability().usable) GTEST_SKIP() << gpu_availability().reason;
  for (const char* keep : {"", "  keep: {share: 0.4}\n"}) {
    TrainingTrial cpu(training(keep), BackendKind::cpu_portable),
        gpu(training(keep), BackendKind::cuda_portable);
    const std::vector<float> start = state_of(cpu.network());
    cpu.step(5);
    gpu.step(5);
    EXPECT_TRUE(same_bits(state_of(cpu.network()), state_of(gpu.network())));
    EXPECT_FALSE(same_bits(state_of(cpu.network()), start));
  }
}

}  // namespace
}  // namespace trainer::test
