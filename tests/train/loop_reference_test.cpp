// The first losses of a training, held against the whole network in double: order, gathering, every op,
// gradient and optimiser together.
#include <gtest/gtest.h>

#include "tests/train/double_network.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

TEST(Loop, TheFirstLossesAreThoseOfTheNetworkInDouble) {
  for (const char* optimizer : {"{sgd: {momentum: 0.9}}", "adam", "adamw", "adadelta"}) {
    TrainingTrial trial({.network = {.optimizer = optimizer, .rate = "0.01"}});
    DoubleNetwork network(trial.setup(), trial.network());
    const std::vector<reference::StepImages> steps =
        reference::first_steps(trial.setup().train, trial.setup().settings.seed, 15);
    trial.run();
    for (std::uint64_t step = 0; step < steps.size(); ++step) {
      const double want = network.step(steps[step], step);
      EXPECT_NEAR(trial.losses[step], want, 2e-4 * want) << optimizer << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace trainer::test
