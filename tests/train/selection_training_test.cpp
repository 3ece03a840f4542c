// Whole trainings of a recipe that selects, on every backend: when the selection begins, that it is one that
// another step starts from, and that a run which was broken off goes on with the same bits.
#include <gtest/gtest.h>

#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

// Three passes of 13 steps each, the last one of a pass half empty.
SmallTraining selecting(const std::string& keep) {
  SmallTraining training = sprint_like({4, 8, 12});
  training.network.more_recipe += keep;
  training.settings.epochs = 3;
  return training;
}
constexpr const char* kHalf = "  keep: {share: 0.4, from: 0.5}\n";

std::vector<float> after(const SmallTraining& training, BackendKind kind, std::uint64_t steps) {
  TrainingTrial trial(training, kind);
  trial.step(steps);
  return state_of(trial.network());
}

TEST(SelectionTraining, TheWeightsAreThoseOfTheWholeBatchUntilItBegins) {
  for (const BackendKind kind : tested_backends()) {
    SCOPED_TRACE(backend_name(kind));
    const std::uint64_t steps = TrainingTrial(selecting(kHalf), kind).setup().total_steps;
    const std::uint64_t first = (steps + 1) / 2;
    EXPECT_TRUE(same_bits(after(selecting(kHalf), kind, first), after(selecting(""), kind, first)));
    EXPECT_FALSE(same_bits(after(selecting(kHalf), kind, first + 1), after(selecting(""), kind, first + 1)));
    EXPECT_TRUE(
        same_bits(after(selecting(kHalf), kind, first + 1), after(selecting(kHalf), kind, first + 1)));
  }
}

TEST(SelectionTraining, LossAndHitsAreOfAllImages) {
  for (const BackendKind kind : tested_backends()) {
    TrainingTrial trial(selecting("  keep: {share: 0.4}\n"), kind);
    trial.step(1);
    const StepState state = trial.network().read_training_state();
    TrainingTrial whole(selecting(""), kind);
    whole.step(1);
    const StepState want = whole.network().read_training_state();
    EXPECT_EQ(state.images, want.images);
    EXPECT_EQ(state.correct, want.correct);
    EXPECT_EQ(state.loss_sum, want.loss_sum);
  }
}

TEST(SelectionTraining, ARunThatWasBrokenOffGoesOnWithTheSameBits) {
  for (const BackendKind kind : tested_backends()) {
    SCOPED_TRACE(backend_name(kind));
    TrainingTrial whole(selecting(kHalf), kind);
    whole.run();
    TrainingTrial first(selecting(kHalf), kind);
    const std::filesystem::path path = first.folder().path() / "checkpoint.safetensors";
    LoopLimits limits;
    limits.checkpoint_steps = 7;
    first.on_checkpoint = [&](const LoopPosition& position) {
      if (!std::filesystem::exists(path)) first.save(path, position);
    };
    first.run(limits);
    TrainingTrial second(selecting(kHalf), kind);
    second.run_from(second.load(path));
    EXPECT_TRUE(same_bits(state_of(whole.network()), state_of(second.network())));
  }
}

}  // namespace
}  // namespace trainer::test
