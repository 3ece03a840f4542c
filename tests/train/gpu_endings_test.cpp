// How a training on a GPU ends, when the host learns of a step only launches later: target, time, a loss that
// is not finite. And what it leaves is as good on the CPU.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

class GpuEndings : public OnGpu {};

TEST_F(GpuEndings, EvaluationMovesNothingAndRepeats) {
  TrainingTrial trial({.network = {.dropout_and_batchnorm = true}}, kGpu);
  trial.run();
  const std::vector<float> before = state_of(trial.network());
  const Score first = *trial.test_score();
  const Score second = *trial.test_score();
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.loss, trial.epochs.back().test.loss);
  EXPECT_EQ(first.images, 100U);
  EXPECT_EQ(state_of(trial.network()), before);
}

TEST_F(GpuEndings, StopsAtTheFirstEvaluationThatReachesTheTarget) {
  const SmallTraining training{
      .data = {.test = 40},
      .network = {.rate = "0.05", .length = "epochs: 8", .dropout_and_batchnorm = true}};
  TrainingTrial whole(training, kGpu);
  whole.run();
  const auto first = std::ranges::find_if(whole.epochs, [](const auto& e) { return e.test.accuracy >= 0.9; });
  ASSERT_NE(first, whole.epochs.end());
  TrainingTrial trial(training, kGpu);
  const LoopResult result = trial.run({.target_accuracy = 0.9});
  EXPECT_EQ(result.reason, StopReason::target);
  EXPECT_EQ(result.position.step, first->step);
  EXPECT_EQ(trial.epochs.size(), static_cast<std::size_t>(first - whole.epochs.begin()) + 1);
}

TEST_F(GpuEndings, TheTargetLooksAtHeldOutImages) {
  TrainSettings settings;
  settings.validation = 50;
  TrainingTrial trial({.network = {.rate = "0.05", .length = "epochs: 12", .dropout_and_batchnorm = true},
                       .settings = settings},
                      kGpu);
  EXPECT_EQ(trial.run({.target_accuracy = 0.9}).reason, StopReason::target);
  EXPECT_EQ(trial.epochs[0].images, 150U);
  for (const EpochRecord& epoch : trial.epochs) {
    ASSERT_TRUE(epoch.validation);
    EXPECT_EQ(epoch.validation->images, 50U);
    EXPECT_EQ(epoch.validation->accuracy >= 0.9, &epoch == &trial.epochs.back());
  }
}

TEST_F(GpuEndings, StopsWhenTheTimeIsOver) {
  TrainingTrial trial({.network = {.length = "epochs: 100000"}}, kGpu);
  const LoopResult result = trial.run({.max_seconds = 0.1});
  EXPECT_EQ(result.reason, StopReason::time_limit);
  EXPECT_LT(result.position.step, trial.setup().total_steps);
  EXPECT_EQ(trial.network().read_training_state().step, result.position.step);
}

// The rate jumps in the third epoch, whose first update ruins the weights.
TEST_F(GpuEndings, NamesTheStepWhoseLossIsNotFiniteAndKeepsItsWeights) {
  const SmallTraining training{.network = {.optimizer = "sgd",
                                           .rate = "1e28",
                                           .batch = 7,
                                           .length = "epochs: 5",
                                           .more_recipe = "  schedule: {steps: {0: 1e-30, 2: 1}}\n"}};
  constexpr std::uint64_t kPass = 29;
  TrainingTrial single(training, kGpu);
  const LoopResult seen = single.run({.checkpoint_steps = 1});
  ASSERT_EQ(seen.reason, StopReason::bad_loss);
  for (const double loss : single.losses) EXPECT_TRUE(std::isfinite(loss));
  EXPECT_EQ(seen.bad_step, single.losses.size());

  TrainingTrial trial(training, kGpu);
  std::vector<float> saved;
  trial.on_checkpoint = [&](const LoopPosition&) { saved = state_of(trial.network()); };
  const LoopResult result = trial.run();
  EXPECT_EQ(result.reason, StopReason::bad_loss);
  EXPECT_EQ(result.bad_step, seen.bad_step);
  EXPECT_EQ(result.position.step, result.bad_step);
  EXPECT_GT(trial.last.step, result.bad_step) << "launched beyond it";
  EXPECT_EQ(trial.network().read_training_state().first_bad_step, result.bad_step);
  EXPECT_EQ(trial.epochs.size(), 2U);
  ASSERT_EQ(trial.checkpoints.size(), 2U);
  EXPECT_EQ(trial.checkpoints.back().step, 2 * kPass);

  TrainingTrial eager(training, kGpu);
  eager.step(2 * kPass);
  EXPECT_TRUE(same_bits(saved, state_of(eager.network()))) << "the last checkpoint";
  eager.step(result.bad_step - 2 * kPass);
  EXPECT_TRUE(same_bits(state_of(trial.network()), state_of(eager.network()))) << "the weights it met";
}

TEST_F(GpuEndings, ABadLossInTheLastStepOfAnEpochIsFoundByItsEvaluation) {
  TrainingTrial trial({.network = {.optimizer = "sgd", .rate = "1e30", .batch = 200, .length = "epochs: 1"}},
                      kGpu);
  const LoopResult result = trial.run();
  EXPECT_EQ(result.reason, StopReason::bad_loss);
  EXPECT_TRUE(trial.epochs.empty());
  EXPECT_TRUE(trial.checkpoints.empty());
}

TEST_F(GpuEndings, ACheckpointOfTheGpuGoesOnOnTheCpuAndTheOtherWayRound) {
  const SmallTraining training{
      .network = {.rate = "0.05", .length = "epochs: 8", .dropout_and_batchnorm = true}};
  for (const bool gpu_first : {true, false}) {
    TrainingTrial first(training, gpu_first ? kGpu : BackendKind::cpu);
    first.stop_after = 4 * 13;
    const LoopResult result = first.run();
    const std::filesystem::path file = first.folder() / "checkpoint.safetensors";
    first.save(file, result.position);
    TrainingTrial second(training, gpu_first ? BackendKind::cpu : kGpu);
    EXPECT_NEAR((second.load(file), second.test_score()->loss), first.test_score()->loss, 1e-5);
    EXPECT_EQ(second.run_from(result.position).reason, StopReason::finished);
    EXPECT_GT(second.epochs.back().test.accuracy, 0.9);
  }
}

}  // namespace
}  // namespace trainer::test
