// The training loop on small data: which images it shows, when it evaluates, when it ends, and that it is the
// same training every time.
#include "trainer/train/loop.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

#include "tests/support/program.hpp"
#include "tests/train/small_training.hpp"

namespace trainer::test {
namespace {

// How often each stored image was shown in steps begin .. end - 1.
std::vector<int> shown(const Setup& setup, std::uint64_t begin, std::uint64_t end) {
  std::vector<int> counts(setup.dataset.train.count());
  for (std::uint64_t step = begin; step < end; ++step) {
    for (std::uint32_t row = 0; row < valid_rows(setup.train, step); ++row)
      ++counts[image_of(setup.train, setup.settings.seed, step, row).index];
  }
  return counts;
}

TEST(Loop, ShowsEachImageOnceAnEpochWithAShortLastBatch) {
  for (const int batch : {16, 199, 200, 7, 500}) {  // 13, 2, 1, 29 and 1 steps
    TrainingTrial trial({.network = {.batch = batch}});
    const LoopResult result = trial.run();
    const auto steps = static_cast<std::uint64_t>((200 + batch - 1) / batch);
    EXPECT_EQ(result.reason, StopReason::finished);
    EXPECT_EQ(result.position.step, 2 * steps);
    EXPECT_EQ(trial.losses.size(), 2 * steps);
    ASSERT_EQ(trial.epochs.size(), 2U);
    EXPECT_EQ(trial.epochs[0].step, steps);
    EXPECT_EQ(trial.epochs[0].images, 200U);
    EXPECT_EQ(trial.epochs[1].images, 200U);
    EXPECT_EQ(trial.valid_rows[steps - 1], 200 - (steps - 1) * static_cast<std::uint64_t>(batch));
    for (const std::uint64_t epoch : {0, 1}) {
      const std::vector<int> counts = shown(trial.setup(), epoch * steps, (epoch + 1) * steps);
      EXPECT_EQ(counts, std::vector<int>(200, 1)) << batch;
    }
    EXPECT_EQ(trial.last.step, trial.last.total_steps);
    EXPECT_EQ(trial.last.epoch_end, 2 * steps);
  }
}

TEST(Loop, ReportsTheMeanOverTheImagesOfTheEpoch) {
  TrainingTrial trial({.network = {.batch = 64}});
  trial.run();
  double sum = 0;
  for (std::size_t step = 0; step < 4; ++step) sum += trial.losses[step] * trial.valid_rows[step];
  EXPECT_NEAR(trial.epochs[0].train_loss, sum / 200, 1e-6);
}

TEST(Loop, DropsAShortLastBatch) {
  TrainingTrial trial({.network = {.batch = 64, .last_batch = "drop"}});
  trial.run();
  EXPECT_EQ(trial.valid_rows, std::vector<std::uint32_t>(6, 64));
  EXPECT_EQ(trial.epochs[0].images, 192U);
  const std::vector<int> counts = shown(trial.setup(), 0, 3);
  EXPECT_EQ(*std::max_element(counts.begin(), counts.end()), 1);
}

TEST(Loop, WrapsABatchIntoTheNextPass) {
  TrainingTrial trial({.network = {.batch = 64, .length = "steps: 10", .last_batch = "wrap"}});
  trial.run();
  EXPECT_EQ(trial.valid_rows, std::vector<std::uint32_t>(10, 64));
  std::vector<std::uint64_t> steps;
  std::uint64_t images = 0;
  for (const EpochRecord& epoch : trial.epochs) {
    steps.push_back(epoch.step);
    images += epoch.images;
  }
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{4, 7, 10}));  // 200, 400, 600 images are behind; and the end
  EXPECT_EQ(images, 640U);
  const std::vector<int> counts = shown(trial.setup(), 0, 10);
  EXPECT_EQ(*std::min_element(counts.begin(), counts.end()), 3);
  EXPECT_EQ(*std::max_element(counts.begin(), counts.end()), 4);
}

TEST(Loop, EvaluatesAtTheEndOfALengthThatIsNoWholePass) {
  TrainingTrial trial({.network = {.length = "steps: 20"}});
  trial.run();
  ASSERT_EQ(trial.epochs.size(), 2U);
  EXPECT_EQ(trial.epochs[1].step, 20U);
  EXPECT_EQ(trial.epochs[1].images, 112U);
}

TEST(Loop, EvaluationMovesNothingAndRepeats) {
  TrainingTrial trial({.network = {.dropout_and_batchnorm = true}});
  trial.run();
  const std::vector<float> before = state_of(trial.network());
  const StepState state = trial.network().read_training_state();
  const Score first = *trial.test_score();
  const Score second = *trial.test_score();
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.accuracy, second.accuracy);
  EXPECT_EQ(first.images, 100U);
  EXPECT_EQ(first.loss, trial.epochs.back().test.loss);
  EXPECT_EQ(state_of(trial.network()), before);
  EXPECT_EQ(trial.network().read_training_state().step, state.step);
  EXPECT_EQ(trial.network().read_training_state().images, state.images);
}

TEST(Loop, StopsAtTheFirstEvaluationThatReachesTheTarget) {
  const SmallTraining training{
      .network = {.rate = "0.05", .length = "epochs: 12", .dropout_and_batchnorm = true}};
  TrainingTrial whole(training);
  whole.run();
  const auto first = std::ranges::find_if(whole.epochs, [](const auto& e) { return e.test.accuracy >= 0.9; });
  ASSERT_NE(first, whole.epochs.end());
  TrainingTrial trial(training);
  const LoopResult result = trial.run({.target_accuracy = 0.9});
  EXPECT_EQ(result.reason, StopReason::target);
  EXPECT_EQ(trial.epochs.size(), static_cast<std::size_t>(first - whole.epochs.begin()) + 1);
}

TEST(Loop, TheTargetLooksAtHeldOutImages) {
  TrainSettings settings;
  settings.validation = 50;
  TrainingTrial trial({.network = {.rate = "0.05", .length = "epochs: 12", .dropout_and_batchnorm = true},
                       .settings = settings});
  EXPECT_EQ(trial.setup().train.images, 150U);
  EXPECT_EQ(trial.setup().validation.first, 150U);
  EXPECT_EQ(trial.run({.target_accuracy = 0.9}).reason, StopReason::target);
  const std::vector<int> counts = shown(trial.setup(), 0, trial.epochs[0].step);
  EXPECT_EQ(std::vector<int>(counts.begin(), counts.begin() + 150), std::vector<int>(150, 1));
  EXPECT_EQ(std::vector<int>(counts.begin() + 150, counts.end()), std::vector<int>(50, 0));
  ASSERT_TRUE(trial.epochs.back().validation);
  EXPECT_GE(trial.epochs.back().validation->accuracy, 0.9);
  EXPECT_EQ(trial.epochs.back().validation->images, 50U);
  for (std::size_t i = 0; i + 1 < trial.epochs.size(); ++i)
    EXPECT_LT(trial.epochs[i].validation->accuracy, 0.9);
}

// How often each label is among `count` images from `first` on.
std::vector<int> labels_of(const Setup& setup, const Batching& part) {
  std::vector<int> counts(kSmallClasses);
  for (std::uint32_t i = 0; i < part.images; ++i) ++counts[setup.dataset.train.labels[part.first + i]];
  return counts;
}

TEST(Loop, ChosenImagesHaveEveryLabelInProportion) {
  TrainSettings settings;
  settings.subset = kSpread;
  settings.validation = 42;
  settings.limit_train = 80;
  const auto setup_of = [&](std::uint64_t seed, const std::string& recipe = "") {
    settings.seed = seed;
    return std::make_unique<TrainingTrial>(
        SmallTraining{.network = {.more_recipe = recipe}, .settings = settings});
  };
  const auto one = setup_of(1), again = setup_of(1), other = setup_of(2);
  const auto& setup = one->setup();
  for (const int count : labels_of(setup, setup.train)) EXPECT_NEAR(count, 20, 1);
  for (const int count : labels_of(setup, setup.validation)) EXPECT_NEAR(count, 10.5, 1);
  EXPECT_EQ(setup.validation.first, 80U);
  EXPECT_EQ(setup.dataset.train.count(), 122U);
  EXPECT_EQ(setup.dataset.train.images, again->setup().dataset.train.images);
  EXPECT_NE(setup.dataset.train.images, other->setup().dataset.train.images);

  settings.validation.reset();
  const auto behind = setup_of(1, "  hold_out_first: 30\n");
  EXPECT_EQ(behind->setup().train.first, 30U);
  EXPECT_EQ(behind->setup().validation.images, 30U);
  for (const int count : labels_of(behind->setup(), behind->setup().train)) EXPECT_NEAR(count, 20, 1);
  settings.limit_train = 200;
  EXPECT_EQ(setup_of(1)->setup().dataset.train.count(), 200U) << "nothing is left to choose";
}

TEST(Loop, TheRecipeHoldsTheFirstImagesOut) {
  TrainingTrial trial({.network = {.more_recipe = "  hold_out_first: 30\n"}});
  const std::vector<int> counts = shown(trial.setup(), 0, trial.setup().total_steps / 2);
  EXPECT_EQ(std::vector<int>(counts.begin(), counts.begin() + 30), std::vector<int>(30, 0));
  EXPECT_EQ(std::vector<int>(counts.begin() + 30, counts.end()), std::vector<int>(170, 1));
}

TEST(Loop, LimitsTheTrainingImagesToTheFirst) {
  TrainSettings settings;
  settings.limit_train = 40;
  settings.validation = 50;
  TrainingTrial trial({.settings = settings});
  trial.run();
  EXPECT_EQ(trial.epochs[0].images, 40U);
  const std::vector<int> counts = shown(trial.setup(), 0, 3);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.begin() + 40, 0), 40);
}

TEST(Loop, StopsWhenTheTimeIsOver) {
  TrainingTrial trial({.network = {.length = "epochs: 100000"}});
  const LoopResult result = trial.run({.max_seconds = 0.1});
  EXPECT_EQ(result.reason, StopReason::time_limit);
  EXPECT_EQ(result.position.step, trial.losses.size());
  EXPECT_EQ(trial.network().read_training_state().step, result.position.step);
}

TEST(Loop, StopsAfterAStepWithTheStateOfALongerRun) {
  TrainingTrial longer({.network = {.length = "epochs: 4"}});
  longer.run();
  TrainingTrial trial({.network = {.length = "epochs: 4"}});
  const LoopResult result = trial.run({.max_steps = 7});
  EXPECT_EQ(result.reason, StopReason::step_limit);
  EXPECT_EQ(result.position.step, 7U);
  ASSERT_LT(trial.losses.size(), longer.losses.size());
  EXPECT_TRUE(std::equal(trial.losses.begin(), trial.losses.end(), longer.losses.begin()));
}

TEST(Loop, TellsWhenACheckpointIsDue) {
  const auto steps_of = [](const LoopLimits& limits) {
    TrainingTrial trial({.network = {.length = "epochs: 4"}});
    trial.run(limits);
    std::vector<std::uint64_t> steps;
    for (const LoopPosition& position : trial.checkpoints) steps.push_back(position.step);
    return steps;
  };
  using Steps = std::vector<std::uint64_t>;  // 13 an epoch; the last one is the end's own
  EXPECT_EQ(steps_of({}), (Steps{13, 26, 39}));
  EXPECT_EQ(steps_of({.checkpoint_epochs = 2}), (Steps{26}));
  EXPECT_EQ(steps_of({.checkpoint_epochs = 0}), (Steps{}));
  EXPECT_EQ(steps_of({.checkpoint_steps = 10}), (Steps{10, 20, 30, 40, 50}));
  EXPECT_EQ(steps_of({.checkpoint_steps = 13}), (Steps{13, 26, 39}));
}

TEST(Loop, TheSameSeedGivesTheSameBits) {
  const auto after = [](std::uint64_t seed) {
    TrainSettings settings;
    settings.seed = seed;
    TrainingTrial trial({.network = {.dropout_and_batchnorm = true}, .settings = settings});
    trial.run();
    return state_of(trial.network());
  };
  EXPECT_EQ(after(3), after(3));
  EXPECT_NE(after(3), after(4));
}

TEST(Loop, ShuffledLabelsTeachNothing) {
  TrainingTrial learnt({.network = {.rate = "0.05", .length = "epochs: 12", .dropout_and_batchnorm = true}});
  learnt.run();
  EXPECT_GT(learnt.epochs.back().test.accuracy, 0.95);
  TrainingTrial noise({.data = {.train = 400, .test = 400, .shuffled_labels = true},
                       .network = {.rate = "0.05", .length = "epochs: 3", .dropout_and_batchnorm = true}});
  noise.run();
  EXPECT_NEAR(noise.epochs.back().test.accuracy, 0.25, 0.12);
}

TEST(Loop, NamesTheFirstStepWhoseLossIsNotFinite) {
  TrainingTrial trial({.network = {.rate = "1e30"}});
  const LoopResult result = trial.run({.checkpoint_steps = 1});
  EXPECT_EQ(result.reason, StopReason::bad_loss);
  ASSERT_LT(result.bad_step, trial.losses.size());
  EXPECT_FALSE(std::isfinite(trial.losses[result.bad_step]));
  for (std::uint64_t step = 0; step < result.bad_step; ++step) EXPECT_TRUE(std::isfinite(trial.losses[step]));
  for (const LoopPosition& position : trial.checkpoints) EXPECT_LE(position.step, result.bad_step);
}

TEST(Loop, NoCheckpointIsDueWhereTheLastUpdateSpoiltTheWeights) {
  // One step an epoch: its own loss is finite, and only the evaluation meets what its update made.
  TrainingTrial trial({.network = {.optimizer = "sgd", .rate = "1e30", .batch = 200, .length = "epochs: 1"}});
  const LoopResult result = trial.run({.checkpoint_steps = 1});
  EXPECT_EQ(result.reason, StopReason::bad_loss);
  ASSERT_EQ(trial.losses.size(), 1U);
  EXPECT_TRUE(std::isfinite(trial.losses[0]));
  EXPECT_TRUE(trial.epochs.empty());
  EXPECT_TRUE(trial.checkpoints.empty());
}

using LoopProgram = ProgramTest;

TEST_F(LoopProgram, ALossThatIsNotFiniteEndsTheRunAndSavesNothingOverTheLastCheckpoint) {
  folder_.write("diverges.yaml", small_network({.rate = "1e30"}));
  const Outcome first =
      trainer({"train", "--model", "diverges.yaml", "--data", "data", "--threads", "1", "--out", "a"});
  EXPECT_EQ(first.code, 1);
  EXPECT_PRED2(contains, first.err, "the loss is not finite");
  EXPECT_PRED2(contains, first.err, "step ");
  EXPECT_PRED2(contains, first.err, "--lr");
  EXPECT_FALSE(fs::exists(folder_ / "a/checkpoint.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "a/model.safetensors"));
  EXPECT_EQ(record("a").status, RunStatus::kFailed);
  EXPECT_PRED2(contains, record("a").reason, "not finite");

  // Diverges in the third epoch: the checkpoint of the second stays.
  folder_.write("later.yaml", small_network({.optimizer = "sgd",
                                             .rate = "1e28",
                                             .length = "epochs: 5",
                                             .more_recipe = "  schedule: {steps: {0: 1e-30, 2: 1}}\n"}));
  const Outcome later =
      trainer({"train", "--model", "later.yaml", "--data", "data", "--threads", "1", "--out", "b"});
  EXPECT_EQ(later.code, 1);
  EXPECT_PRED2(contains, later.err, "last good checkpoint");
  EXPECT_FALSE(fs::exists(folder_ / "b/model.safetensors"));
  const SavedNetwork saved = read_saved_network(SafetensorsFile::read(folder_ / "b/checkpoint.safetensors"));
  EXPECT_EQ(saved.position.step, 26U);
  EXPECT_EQ(metrics("b").size(), 2U);
  EXPECT_EQ(trainer({"eval", "b", "--data", "data", "--threads", "1"}).code, 0);
}

}  // namespace
}  // namespace trainer::test
